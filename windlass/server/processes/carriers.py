"""What the processes of this machine carry of an app: its releases, which are not removed under them, its colours."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from pathlib import Path

from windlass.server import names
from windlass.server.paths import Paths


def carried(paths: Paths) -> set[str]:
    """Return the releases of the app that a process works in, was started from, or names in its environment."""
    home = re.escape(str(paths.releases.resolve()).encode())
    inside = re.compile(home + rb"/(" + names.RELEASE.pattern.encode() + rb")")
    named = re.compile(rb"(?:^|\0)WINDLASS_RELEASE=(" + names.RELEASE.pattern.encode() + rb")(?:\0|$)")
    ours = f"WINDLASS_HOME={paths.home}".encode()
    found: set[bytes] = set()
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        environ = _read(process / "environ")
        found.update(inside.findall(b"\0".join((_read(process / "cmdline"), _link(process / "cwd"), environ))))
        found.update(inside.findall(_link(process / "exe")))
        if ours in environ.split(b"\0"):
            found.update(named.findall(environ))
    return {name.decode() for name in found}


def end_colour(paths: Paths, colour: str) -> None:
    """End what an earlier Supervisor left behind of a colour that is not live: nobody starts it again."""
    wanted = {f"WINDLASS_HOME={paths.home}".encode(), f"WINDLASS_COLOUR={colour}".encode()}
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and wanted <= set(_read(process / "environ").split(b"\0")):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process.name), signal.SIGTERM)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended, or is nobody that we may look at
        return b""


def _link(path: Path) -> bytes:
    try:
        return bytes(path.readlink())
    except OSError:
        return b""
