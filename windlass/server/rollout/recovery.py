"""After work that was cut off: what runs, and what the files say, is one release again, entire."""

from __future__ import annotations

import sys
from pathlib import Path

from windlass.server import files, lock, names, settings
from windlass.server.environment import Context
from windlass.server.errors import Failure
from windlass.server.log import ReleaseLog, State, now, read_state
from windlass.server.paths import Paths
from windlass.server.processes import carriers, programs, sockets
from windlass.server.processes.colours import KILL_AFTER, Colours
from windlass.server.processes.supervisor import Supervisor
from windlass.server.processes.workers import Workers
from windlass.server.rollout import links, switch
from windlass.server.rollout.switch import Intent


def boot(prefix: Path) -> int:
    """Before Supervisor starts: have every app come up with one release. Nothing of it may keep Supervisor down."""
    for path in sorted((prefix / "etc/windlass").glob("*.json")):
        try:
            context = Context(Paths(prefix, path.stem), settings.load(path))
            held = lock.take(context.paths.lock, {"action": "start of the server", "by": "Supervisor", "since": now()})
        except (Failure, OSError) as error:
            print(f"windlass: {path.stem}: {error}", file=sys.stderr)
            continue
        try:
            _boot(context)
        except Exception as error:
            print(f"windlass: {path.stem}: {error}", file=sys.stderr)
        finally:
            held.release()
    return 0


def _boot(context: Context) -> None:
    paths = context.paths
    log = ReleaseLog(paths)
    log.read()
    settle(context, log)
    if log.state.release:
        links.lead_to(paths, log.state.colour)
        idle = names.other(log.state.colour)
        group = Colours(context, Supervisor(paths.supervisor_socket)).group(idle)
        programs.file_of(context, group).unlink(missing_ok=True)
        carriers.end_colour(paths, idle)
    paths.watch.unlink(missing_ok=True)


def settle(context: Context, log: ReleaseLog) -> Intent | None:
    """Complete a switch that was cut off, or take it back, on the disk: `current` says which."""
    paths = context.paths
    intent = switch.read_intent(paths.intent)
    if intent is None:
        return None
    log.state = live = _live(paths, intent)
    links.point_to(paths, live)
    if live.release:
        switch.commit(context, files.stage(switch.texts(context, live, State())))
    else:
        for name in programs.written(context):
            programs.file_of(context, name).unlink(missing_ok=True)
    if live == intent.new:
        log.add(live.release, status="good", finished=now())
        if intent.bad:
            log.add(intent.old.release, status="bad", finished=now())
    paths.intent.unlink()
    return intent


def _live(paths: Paths, intent: Intent) -> State:
    found = read_state(paths)
    if intent.old.release == intent.new.release:
        return intent.new if found.colour == intent.new.colour else intent.old
    return intent.new if found.release == intent.new.release else intent.old


def recover(context: Context, log: ReleaseLog, supervisor: Supervisor) -> None:
    """Settle, and have the processes follow."""
    intent = settle(context, log)
    colours = Colours(context, supervisor)
    if intent is None:
        _stop_unfinished(colours, log)
        return
    live = log.state
    left = intent.old if live == intent.new else intent.new
    if live.release:
        bring_up(context, live, supervisor, set(intent.groups))
    if left.release:
        colours.drain(left)
        colours.stop(left.colour)


def _stop_unfinished(colours: Colours, log: ReleaseLog) -> None:
    """Stop what was about to be switched to; a release that is kept ready stays."""
    idle = names.other(log.state.colour)
    found = colours.process(idle)
    if found and log.status(sockets.release_of(found.pid)) != "good":
        colours.stop(idle, kill_after=KILL_AFTER)


def bring_up(context: Context, live: State, supervisor: Supervisor, before: set[str]) -> None:
    """Have the live colour and all workers of its release run, and none of the groups that were there before."""
    colours, workers = Colours(context, supervisor), Workers(context, supervisor, lambda _text: None)
    if not colours.is_up(live.colour):
        supervisor.start([colours.group(live.colour)])
    wanted = {program.name(context.settings.name) for program in workers.of(live.release)}
    found = [item for item in supervisor.processes() if item.group in wanted | before]
    entire = {item.group for item in found} == wanted
    if not entire or any(sockets.release_of(item.pid) != live.release for item in found):
        workers.replace(live.release, wanted | before)
