"""Names that reach a path, a shell or a configuration file: all are checked here first."""

from __future__ import annotations

import re

APP = re.compile(r"[a-z][a-z0-9_-]{0,19}")
RELEASE = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{7,12}")
PROCESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
COLOURS = ("blue", "green")
KEY_FILE = ".venv/.windlass-key"  # in a release: a digest of what its packages were installed from
_MAKING = ("check", "upload", "build", "snapshot", "release", "start", "probe")
PHASES = (*_MAKING, "switch", "drain", "retire", "record", "prune")
HOOKS = tuple(f"{when}-{phase}" for phase in PHASES for when in ("before", "after"))
LAPTOP_HOOKS = ("before-deploy", "after-deploy", "before-rollback", "after-rollback", *HOOKS)
SIGNALS = ("TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "KILL")  # that Supervisor may stop a process with


def other(colour: str | None) -> str:
    """Return the colour that is idle while `colour` is live."""
    return "green" if colour == "blue" else "blue"


def is_after_switch(hook: str) -> bool:
    """Say whether visitors have the new release when a hook runs."""
    return HOOKS.index(hook) >= HOOKS.index("after-switch")


def is_inside(folder: str) -> bool:
    """Say whether a relative folder stays inside the place that it is relative to."""
    parts = folder.split("/")
    return not folder.startswith("/") and ".." not in parts and "\0" not in folder and "\n" not in folder
