"""What can be asked without changing anything: releases, status, checks, logs, a command."""

from __future__ import annotations

import re
import select
import shutil
from datetime import UTC, datetime
from pathlib import Path

from windlass import messages
from windlass.server import checks, environment, lock, runner
from windlass.server.database import snapshots
from windlass.server.environment import Context
from windlass.server.follower import Follower
from windlass.server.log import ReleaseLog
from windlass.server.paths import Paths
from windlass.server.processes import programs, sockets
from windlass.server.processes.supervisor import UP, Process, Supervisor
from windlass.server.protocol import Events, Request
from windlass.server.rollout import watch
from windlass.server.schedule import jobs

FOLLOW_MS = 50


def releases(log: ReleaseLog) -> dict[str, object]:
    """List the releases that there are, and those that failed since the oldest of them; newest first."""
    there = log.on_disk()
    oldest = there[-1] if there else ""
    listed = []
    for name in sorted(log.entries, reverse=True):
        status = log.status(name)
        if name in there or (status == "failed" and name > oldest):
            listed.append(_release(log, name, status))
    return {"releases": listed}


def _release(log: ReleaseLog, name: str, status: str) -> dict[str, object]:
    entry = log.entries[name]
    keys = ("release", "commit", "version", "by", "started", "seconds", "migrations", "head", "watched", "error")
    found: dict[str, object] = {key: entry[key] for key in keys if key in entry}
    snapshot = entry.get("snapshot")
    if isinstance(snapshot, dict) and snapshots.file_of(log.paths, name).exists():
        found["snapshot"] = {key: snapshot.get(key) for key in ("bytes", "taken", "finished", "seconds")}
    found["status"] = status
    if status == "live":
        found["colour"] = log.state.colour
    return found


def status(context: Context, log: ReleaseLog) -> dict[str, object]:
    """Say what runs now."""
    paths, live = context.paths, log.state
    entry = log.entries.get(live.release, {})
    usage = shutil.disk_usage(paths.home)
    prefix = f"{context.settings.name}-"
    groups = programs.written(context)
    found = [item for item in Supervisor(paths.supervisor_socket).processes() if item.group in groups]
    return {
        "app": context.settings.name,
        "release": live.release or None,
        "commit": entry.get("commit"),
        "version": entry.get("version"),
        "colour": live.colour or None,
        "processes": [_process(item, prefix) for item in found],
        "cron": jobs.status(paths),
        "deploy": _under_way(paths),
        "maintenance": paths.maintenance.exists(),
        "watch": _watch(paths),
        "switched_back": _switched_back(log),
        "queue": sockets.queue(paths.socket(live.colour)) if live.colour else 0,
        "disk": {"free": usage.free, "total": usage.total, "releases": len(log.on_disk())},
    }


def _under_way(paths: Paths) -> dict[str, object] | None:
    """Say what is done just now; of what has told its result nothing is left that anybody waits for."""
    held = lock.holder(paths.lock)
    return None if held and held.get("told") else held


def _watch(paths: Paths) -> dict[str, object] | None:
    """Say which release is watched, until when, and which one is kept ready; nothing when nobody watches."""
    found = watch.read(paths)
    if found is None or not found.alive:
        return None
    until = datetime.fromtimestamp(found.until, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"release": found.release, "until": until, "old": found.old}


def _switched_back(log: ReleaseLog) -> dict[str, object] | None:
    """Say why the newest release does not serve, when its watch put the one before it in front again."""
    newest = max(log.entries, default="")
    entry = log.entries.get(newest, {})
    if entry.get("watched") != "switched-back" or newest == log.state.release:
        return None
    return {"release": newest, "at": entry.get("finished"), "reason": entry.get("error")}


def _process(item: Process, prefix: str) -> dict[str, object]:
    up = item.state in UP
    return {
        "name": item.name.removeprefix(prefix),
        "pid": item.pid or None,
        "state": item.state,
        "uptime_s": item.now - item.start if up else 0,
        "release": sockets.release_of(item.pid) if item.pid else None,
    }


def check(context: Context) -> dict[str, object]:
    """Say whether a release could be made."""
    return {"checks": [item.as_dict() for item in checks.all_checks(context)]}


def run(context: Context, log: ReleaseLog, request: Request, events: Events) -> dict[str, object]:
    """Run a command as the app would: its user, folder, settings and live release; end it with its client."""
    live = log.state.release
    if not live:
        raise messages.not_deployed()
    settings = context.settings
    task = runner.Task(
        ["/bin/sh", "-c", request.command],
        runner.user(settings.app_user),
        (context.paths.releases / live).resolve() / settings.directory,
        environment.of_process(context, live, "run"),
        setuid_programs=settings.setuid_programs,
    )
    events.phase_name = "run"
    events.plain = True
    listener = select.poll()
    listener.register(events.handle, 0)
    outcome = runner.run(task, events.output, gone=lambda: bool(listener.poll(0)))
    return {"status": outcome.status if outcome.status >= 0 else 128 - outcome.status}


def logs(context: Context, request: Request, events: Events) -> dict[str, object]:
    """Pass on the end of the app's log, and what it gains while somebody listens."""
    tag = f"{context.settings.name}-{request.process}"
    wanted = re.compile(rf"(?:^|\s){re.escape(tag)}(?:\[\d+\])?:") if request.process else None
    sources = _sources(context, request.process)
    if not sources:
        raise messages.no_log()
    events.phase_name = "logs"
    environment.app_values(context.paths)  # what is secret in them is masked in the lines
    filtered = wanted if sources == [context.paths.log] else None
    followers = [Follower(path) for path in sources]
    there = [line for follower in followers for line in follower.lines()]
    lines = [line for line in there if not filtered or filtered.search(line)]
    for line in lines[-request.lines :] if request.lines else []:
        events.output("stdout", line)
    if request.follow:
        _follow(followers, filtered, events)
    return {} if lines else {"processes": _speakers(there, context.settings.name)}


def _speakers(lines: list[str], app: str) -> list[str]:
    """Return the processes that a log has lines of."""
    tag = re.compile(rf"(?:^|\s){re.escape(app)}-([\w-]{{1,32}})(?:\[\d+\])?:")
    return sorted({found[1] for line in lines if (found := tag.search(line))})


def _sources(context: Context, process: str) -> list[Path]:
    if context.paths.log.exists():
        return [context.paths.log]
    pattern = f"{context.settings.name}-{process or '*'}*.log"
    return sorted(context.paths.supervisor_logs.glob(pattern))


def _follow(followers: list[Follower], wanted: re.Pattern[str] | None, events: Events) -> None:
    """Follow until the reader goes away, which a hang-up on our output tells."""
    listener = select.poll()
    listener.register(events.handle, 0)
    while not listener.poll(FOLLOW_MS):
        for follower in followers:
            for line in follower.lines():
                if wanted is None or wanted.search(line):
                    events.output("stdout", line)
