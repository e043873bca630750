"""How many processes of each name run: told, and changed without touching those that stay."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

from windlass import messages
from windlass.server import environment, files, settings
from windlass.server.environment import Context
from windlass.server.errors import Failure
from windlass.server.job import Job
from windlass.server.log import ReleaseLog
from windlass.server.processes import procfile
from windlass.server.processes.workers import Workers
from windlass.server.rollout.rollout import SETTLE, Rollout


def counts(context: Context, log: ReleaseLog) -> dict[str, object]:
    """Return how many of each process the live release runs on this server, and which may never be two."""
    live = log.state.release
    if not live:
        raise messages.not_deployed()
    processes = procfile.processes_of(context.settings, context.paths.releases / live)
    running = procfile.runs(processes, context.settings)
    found = {name: running.get(name, 0) for name in processes if name not in ("web", "release")}
    return {
        "release": live,
        "counts": {"web": environment.workers(context.settings)} | found,
        "single": [name for name in found if name in context.settings.single],
    }


def apply(work: Job, release: str) -> dict[str, object]:
    """Write the counts where the `app` role writes them, and start or stop what differs.

    What fails before visitors notice is undone. The web server is started anew beside itself when its workers change.
    """
    before, state, wanted = work.context, work.log.state, dict(work.request.counts or {})
    _check(before, release, wanted)
    written = before.paths.settings.read_text()
    _write(before.paths.settings, with_scale(written, wanted))
    try:
        work.context = Context(before.paths, settings.load(before.paths.settings))
        if environment.workers(work.context.settings) != environment.workers(before.settings):
            rollout = Rollout(work, release, only_changed=True)
            rollout.run()
            work.end = rollout.end
        else:
            with work.events.phase("retire"):
                _change_workers(work, release)
    except BaseException:
        if work.log.state == state:
            _write(before.paths.settings, written)
            work.context = before
            with contextlib.suppress(Failure):
                _change_workers(work, release)
        raise
    return counts(work.context, work.log) | {"seconds": work.seconds}


def with_scale(text: str, wanted: Mapping[str, int]) -> str:
    """Return the settings file with these counts, byte for byte as Ansible's `to_nice_json` writes it."""
    return json.dumps(json.loads(text) | {"scale": dict(wanted)}, indent=4, sort_keys=True) + "\n"


def _write(path: Path, text: str) -> None:
    """Replace the settings file; it stays whose it is, and as old: the processes were started with all else in it."""
    if path.read_text() == text:
        return
    status = path.stat()
    beside = path.with_name(f".{path.name}.scale")
    files.replace(beside, text, status.st_mode & 0o777)
    if os.geteuid() == 0:
        os.chown(beside, status.st_uid, status.st_gid)
    os.utime(beside, ns=(status.st_atime_ns, status.st_mtime_ns))
    beside.rename(path)
    files.sync_folder(path.parent)


def _check(context: Context, release: str, wanted: Mapping[str, int]) -> None:
    """Refuse a name that the live release does not have, unless it is said to run none."""
    known = list(procfile.processes_of(context.settings, context.paths.releases / release))
    for name, count in wanted.items():
        if count and (name not in known or name == "release"):
            raise messages.unknown_process(name, [item for item in known if item != "release"])


def _change_workers(work: Job, release: str) -> None:
    workers = Workers(work.context, work.supervisor, lambda text: work.events.note(text))
    there = workers.groups()
    workers.write(release)
    wanted = {program.name(work.context.settings.name) for program in workers.of(release)}
    workers.replace(release, there ^ wanted)
    workers.check(release, settle=SETTLE)
