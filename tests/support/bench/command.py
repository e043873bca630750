"""Commands that are timed, and the times of the phases that `fab` tells."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.repository import ROOT

BIN = ROOT / ".venv" / "bin"
CACHE = ROOT / ".cache" / "bench"
LOG = CACHE / "bench.log"
_PHASE = re.compile(r"^  (\w+) +(done|skipped)(?: +([\d.]+) s)?$")
_TASK = re.compile(r"^(\S.*?) -{3,} +([\d.]+)s$")


class BenchError(Exception):
    """A measurement could not be made; the text is for whoever runs it."""


@dataclass(frozen=True)
class Done:
    """A command that has ended: how long it took (seconds), and its lines with the second at which each came."""

    seconds: float
    lines: list[tuple[float, str]]

    @property
    def output(self) -> str:
        """All that it printed."""
        return "\n".join(line for _, line in self.lines)


def environment(**more: str) -> dict[str, str]:
    """Return the environment that a user's shell has: bytecode is kept, Ansible is configured by the repository."""
    unwanted = ("PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    kept = {name: value for name, value in kept.items() if name not in unwanted}
    return {**kept, "PATH": f"{BIN}:{os.environ['PATH']}", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), **more}


def run(command: Sequence[str], *, limit: float, env: dict[str, str] | None = None) -> Done:
    """Run a command to its end, its output in the log; it is killed after `limit` seconds.

    Raises BenchError: it failed, or took too long.
    """
    started = time.monotonic()
    process = subprocess.Popen(
        list(command),
        cwd=ROOT,
        env=env or environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    alarm = threading.Timer(limit, os.killpg, (process.pid, signal.SIGKILL))
    alarm.start()
    lines: list[tuple[float, str]] = []
    try:
        assert process.stdout is not None
        with LOG.open("a") as log:
            print(f"\n$ {' '.join(command)[:300]}", file=log, flush=True)
            for line in process.stdout:
                lines.append((time.monotonic() - started, line.rstrip("\n")))
                print(line, end="", file=log)
        status = process.wait()
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait()
        raise
    finally:
        alarm.cancel()
    seconds = time.monotonic() - started
    if status:
        last = "\n".join(line for _, line in lines[-15:])
        raise BenchError(f"exit status {status} after {seconds:.0f} s: {' '.join(command)[:200]}\n{last}")
    return Done(seconds, lines)


def playbook(inventory: Path, file: str | Path, *, limit: float = 1200, **variables: str) -> Done:
    """Run a playbook over connections of its own: one that an earlier run left open would flatter it."""
    with tempfile.TemporaryDirectory(prefix="wl") as control:
        env = environment(ANSIBLE_SSH_CONTROL_PATH_DIR=control, **variables)
        return run([f"{BIN}/ansible-playbook", "-i", str(inventory), str(file)], limit=limit, env=env)


def fab(inventory: Path, verb: str, *arguments: str) -> Done:
    """Run a verb."""
    return run([f"{BIN}/fab", verb, "--env", str(inventory), *arguments], limit=300)


def phases(done: Done) -> dict[str, float]:
    """Return where the time of a verb went, in seconds.

    The server tells the phases. `laptop` is what comes before the first line: imports, inventory, the commit;
    `connect` what lies between it and the first phase: the archive, SSH, the start of the release program; `end`
    what follows the last phase. A verb that says nothing before the first phase has the two in one, as `before`.
    """
    found: dict[str, float] = {}
    said = last = 0.0
    for moment, line in done.lines:
        if match := _PHASE.match(line):
            seconds = float(match[3] or 0)
            if not last:
                first = {"laptop": said, "connect": moment - said - seconds} if said else {"before": moment - seconds}
                found |= first
            found[match[1]] = seconds
            last = moment
        elif not last:
            said = said or moment
    found["end"] = done.seconds - last
    return {name: round(value, 3) for name, value in found.items()}


def slowest_tasks(done: Done, count: int = 12) -> dict[str, float]:
    """Return the tasks that took longest, in seconds, as ansible.posix.profile_tasks told."""
    matches = [_TASK.match(line.strip()) for _, line in done.lines]
    times = [(match[1], float(match[2])) for match in matches if match]
    return dict(sorted(times, key=lambda pair: -pair[1])[:count])
