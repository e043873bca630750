"""What a killed program leaves is put right though nobody asks for anything: a timer looks for it each minute."""

from __future__ import annotations

import sys
from pathlib import Path

from windlass.server import job, lock, settings
from windlass.server.environment import Context
from windlass.server.errors import Failure
from windlass.server.log import ReleaseLog, now
from windlass.server.paths import Paths
from windlass.server.processes.colours import Colours
from windlass.server.processes.supervisor import Supervisor
from windlass.server.rollout import maintenance, watch

NOTE = {"action": lock.CLEARING_UP, "by": "Windlass"}


def tidy(prefix: Path) -> int:
    """Clear up after every app's program that was killed; leave alone what somebody is at. Return the exit status."""
    status = 0
    for folder in sorted((prefix / "var/lib/windlass").glob("*/")):
        paths = Paths(prefix, folder.name)
        if not paths.settings.exists() or not is_left(paths):
            continue
        try:
            if _clear_up(paths):
                print(f"{paths.app}: a release program was killed; what it left is cleared up", flush=True)
        except Exception as error:
            print(f"windlass: {paths.app}: {error}", file=sys.stderr)
            status = 1
    return status


def is_left(paths: Paths) -> bool:
    """Say whether a switch is half done, a site was closed for a moment, or a watch has lost its watcher."""
    if maintenance.is_moment(paths) and not maintenance.may_be_opened(paths):
        return False
    found = watch.read(paths)
    return paths.intent.exists() or maintenance.is_moment(paths) or bool(found and not found.alive)


def _clear_up(paths: Paths) -> bool:
    """Do it, and say so; nothing is done while somebody has the lock."""
    try:
        held = lock.take(paths.lock, {**NOTE, "since": now()})
    except Failure:
        return False
    try:
        if not is_left(paths):  # whoever had the lock has ended it
            return False
        context = Context(paths, settings.load(paths.settings))
        log, supervisor = ReleaseLog(paths), Supervisor(paths.supervisor_socket)
        log.read()
        job.sweep(context, log, supervisor)
        found = watch.read(paths)
        if found and not found.alive:
            watch.supersede(paths)
            if found.old_colour != log.state.colour:
                Colours(context, supervisor).stop(found.old_colour)
        return True
    finally:
        held.release()
