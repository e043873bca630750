"""What a release would bring: it is built in a place of its own, looked at and removed; nothing else changes."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path
from typing import BinaryIO

from windlass import messages
from windlass.server import checks, environment, lock
from windlass.server.building import build, packages, trial, upload
from windlass.server.database import migration_sql
from windlass.server.environment import Context
from windlass.server.log import ReleaseLog, read_state
from windlass.server.processes import procfile
from windlass.server.protocol import Events, Request

# Visitors and a deploy come first.
NICE = 5
# libpq hands this to the database: whatever the app does at its start, the database is only read.
READ_ONLY = "-c default_transaction_read_only=on -c lock_timeout=2s -c statement_timeout=20s"


def perform(context: Context, request: Request, stream: BinaryIO, out: Events) -> dict[str, object]:
    """Receive the archive, build and look; return what the laptop judges."""
    log = ReleaseLog(context.paths)
    log.read()
    live = log.state.release
    with out.phase("check"):
        held = lock.holder(context.paths.lock)
        if held and not lock.ends_at_once(held):
            raise messages.locked(held)
        checks.require(context, request.size)
    name = f"{log.new_name(request.commit)[:24]}{secrets.token_hex(2)}"
    os.nice(NICE)
    with trial.place(context.paths, name) as places:
        with out.phase("upload"):
            out.send({"event": "send"})
            upload.receive(stream, request, places.archive(name))
        values = environment.app_values(context.paths)
        read_only = {"PGOPTIONS": f"{values.get('PGOPTIONS', '')} {READ_ONLY}".strip()}
        there = Context(places, context.settings, read_only)
        with out.phase("build"):
            build.Builder(there, places.releases / name, log, out, trial=True).build(places.archive(name))
        with out.phase("look"):
            found = _look(context, there, log, name)
    if read_state(context.paths).release != live:
        raise messages.plan_overtaken()
    return found


def _look(context: Context, there: Context, log: ReleaseLog, name: str) -> dict[str, object]:
    live = log.state.release
    entry = log.entries.get(live, {})
    new = there.paths.releases / name
    old = context.paths.releases / live
    return {
        "live": {key: entry.get(key) for key in ("release", "commit", "version")} if live else None,
        "packages": {"live": packages.of(old / ".venv") if live else {}, "new": packages.of(new / ".venv")},
        "processes": {
            "live": procfile.processes_of(context.settings, old) if live else {},
            "new": procfile.processes_of(context.settings, new),
        },
        "settings": sorted(environment.of_process(context, live or name, "web")),
        "database": migration_sql.pending(there, name),
        "disk": {"needs": _own_size(new), "free": shutil.disk_usage(context.paths.home).free},
    }


def _own_size(release: Path) -> int:
    """Return the bytes on disk that a release has for itself; hard links to others' files cost nothing."""
    size = 0
    for folder, _, names in os.walk(release):
        for path in (Path(folder), *(Path(folder, name) for name in names)):
            status = path.lstat()
            size += status.st_blocks * 512 if status.st_nlink == 1 or path.is_dir() else 0
    return size
