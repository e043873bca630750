"""Which processes an app has, and their commands: its Procfile, and `processes` of its entry, which wins."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from windlass import messages
from windlass.server import names
from windlass.server.building import identity
from windlass.server.settings import Settings

TAKEN = [f"web-{colour}" for colour in names.COLOURS]
LINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]{0,31})\s*:\s*(\S.*)")


def parse(text: str) -> dict[str, str]:
    """Return command by process; blank lines and comments are skipped, any other line is refused."""
    processes: dict[str, str] = {}
    for number, line in enumerate(text.replace("\r\n", "\n").lstrip("\ufeff").split("\n"), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = LINE.fullmatch(line)
        if not match:
            raise messages.procfile_line(number, line)
        processes[match[1]] = match[2].strip()
    return processes


def processes_of(settings: Settings, release: Path) -> dict[str, str]:
    """Return command by process for the release, `release` (the command) among them when there is one."""
    return complete(
        _text(settings, release), settings.processes, settings.wsgi, lambda: _folders_with_one(settings, release)
    )


def complete(text: str, processes: Mapping[str, str], wsgi: str, folders: Callable[[], list[str]]) -> dict[str, str]:
    """Return command by process, from the Procfile and the entry; `folders` finds other Procfiles, for the message."""
    found = parse(text) | dict(processes)
    if "web" not in found and wsgi:
        found["web"] = f"gunicorn {wsgi}"
    if "web" not in found:
        raise messages.no_web_process(folders())
    if taken := [name for name in found if name in TAKEN]:
        raise messages.process_name_taken(taken[0])
    return found


def _text(settings: Settings, release: Path) -> str:
    """Return the Procfile, nothing when there is none."""
    try:
        with identity.reading_as(settings.builder):
            for folder in (release / settings.directory, release):
                if (folder / "Procfile").is_file():
                    return (folder / "Procfile").read_text(errors="replace")
    except OSError as error:
        raise messages.procfile_unreadable(error.strerror or str(error)) from error
    return ""


def _folders_with_one(settings: Settings, release: Path) -> list[str]:
    """Return the folders of the release in which there is a Procfile: the app may be in one of them."""
    with identity.reading_as(settings.builder):
        return sorted(path.parent.name for path in release.glob("*/Procfile"))


def runs(processes: dict[str, str], settings: Settings) -> dict[str, int]:
    """Return how many of each process run here beside `web`, without those that are scaled to none.

    Those that may never be two run on the first host of the app alone.
    """
    counts = {name: settings.scale.get(name, 1) for name in processes if name not in ("web", "release")}
    for name in set(counts) & set(settings.single):
        counts[name] = min(counts[name], 1 if settings.first_host else 0)
    return {name: count for name, count in counts.items() if count > 0}
