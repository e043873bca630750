"""ansible-playbook, as an owner types it in a clone of the repository."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from tests.support.repository import ROOT

SECONDS = 900


def play(
    inventory: Path, *arguments: str, playbook: str | Path = "site.yml", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a playbook on an inventory and return how it ended; Molecule's settings of Ansible do not count."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    return subprocess.run(
        [str(ROOT / ".venv/bin/ansible-playbook"), "-i", str(inventory), str(playbook), *arguments],
        cwd=ROOT,
        env=kept | {"NO_COLOR": "1"} | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def succeed(inventory: Path, *arguments: str, playbook: str | Path = "site.yml") -> str:
    """Run a playbook that must end well, and return what it printed."""
    done = play(inventory, *arguments, playbook=playbook)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    return done.stdout


def changes(printed: str) -> int:
    """Return how many tasks changed something, on all hosts together."""
    counts = re.findall(r"^\S+ +: ok=\d+ +changed=(\d+)", printed, re.MULTILINE)
    assert counts, printed[-3000:]
    return sum(map(int, counts))
