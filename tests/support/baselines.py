"""The controls of dev-sec.io's baselines and the tests of Lynis, as docs/baselines.yml answers them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).resolve().parents[2] / "docs" / "baselines.yml"


@dataclass(frozen=True)
class Control:
    """One control, and what is said of it."""

    baseline: str
    name: str
    title: str
    sysctl: dict[str, int] = field(default_factory=dict)
    sshd: str = ""
    command: str = ""
    prints: str = ""
    test: str = ""
    waived: str = ""
    unseen: str = ""

    def __str__(self) -> str:
        return self.name

    @property
    def is_held(self) -> bool:
        """Whether something of it can be seen on a server."""
        return bool(self.sysctl or self.sshd or self.command)


def controls() -> list[Control]:
    """Return every control of every baseline; TypeError for a key that there is not."""
    found: dict[str, dict[str, dict[str, Any]]] = yaml.safe_load(FILE.read_text())
    return [Control(baseline, name, **entry) for baseline, entries in found.items() for name, entry in entries.items()]


def waived_of_lynis() -> dict[str, str]:
    """Return the tests of Lynis that are left out, each with its reason."""
    return {control.name: control.waived for control in controls() if control.baseline == "lynis"}
