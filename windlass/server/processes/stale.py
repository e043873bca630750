"""Which apps still run with settings that have changed since they were started."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from windlass.server import names, settings
from windlass.server.environment import Context
from windlass.server.log import read_state
from windlass.server.paths import Paths
from windlass.server.processes import programs
from windlass.server.processes.colours import Colours
from windlass.server.processes.supervisor import UP, Supervisor


def stale(prefix: Path, apps: Iterable[str]) -> int:
    """Print them as JSON: those that another server leads, which have to start again first, and those led from here."""
    found: dict[str, list[str]] = {"follows": [], "leads": []}
    for app in apps:
        paths = Paths(prefix, app)
        context = Context(paths, settings.load(paths.settings))
        if is_stale(context):
            found["leads" if context.settings.first_host else "follows"].append(app)
    print(json.dumps(found))
    return 0


def is_stale(context: Context) -> bool:
    """Say whether a process of the live release was started before the settings changed.

    A release that is only kept ready does not count: its time is over soon. Supervisor knows the second alone.
    """
    paths, live = context.paths, read_state(context.paths)
    if not live.release:
        return False
    supervisor = Supervisor(paths.supervisor_socket)
    changed = max(path.stat().st_mtime for path in (paths.settings, paths.env) if path.exists())
    groups = programs.written(context) - {Colours(context, supervisor).group(names.other(live.colour))}
    running = [item for item in supervisor.processes() if item.group in groups and item.state in UP]
    return any(item.start + 1 <= changed for item in running)
