"""The actions that change what runs: deploy, rollback, restart."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import BinaryIO

from windlass import messages
from windlass.server import checks, detach, files, job, lock, settings
from windlass.server.database import going_back, phases
from windlass.server.environment import Context
from windlass.server.errors import Failure
from windlass.server.job import Job
from windlass.server.log import ReleaseLog, now, read_state
from windlass.server.processes import scale
from windlass.server.processes.supervisor import Supervisor
from windlass.server.protocol import Events, Request
from windlass.server.rollout.rollout import Rollout
from windlass.server.rollout.signs import Signs
from windlass.server.rollout.watch import Watcher

RELEASE_NOTHING = ("restart", "scale")


def perform(context: Context, request: Request, stream: BinaryIO, out: Events) -> bool:
    """Do the action: what needs the client here, the rest in a process that outlives it."""
    paths = context.paths
    (paths.state / "incoming").mkdir(mode=0o700, exist_ok=True)
    note: dict[str, object] = {"action": request.action, "by": request.by, "since": now()}
    note |= {"version": request.version, "phase": "check"}
    held = lock.take(paths.lock, note, lock.Waiting(out, wait=request.wait))
    out.on_phase = lambda name: held.tell(phase=name)
    log = ReleaseLog(paths)
    work = Job(context, request, log, held, out, Supervisor(paths.supervisor_socket))
    _with_hooks(work, out)
    try:
        log.read()
        with out.phase("check"):
            job.sweep(context, log, work.supervisor)
            target = _target(work)
            checks.require(context, request.size, build=request.action == "deploy")
            _with_hooks(work, out, target)
            out.chosen(target)
            job.tell_unsent(paths, out)
        if request.action == "deploy":
            with out.phase("upload"):
                out.send({"event": "send"})
                from windlass.server.building import upload  # a rollback does without, and is to be quick

                upload.receive(stream, request, _archive(work))
    except BaseException:
        files.remove(_archive(work))
        held.release()
        raise
    if not target:
        held.release()
        out.note(messages.note_nothing_to_restart())
        out.result({"release": None, "previous": None, "colour": None, "seconds": work.seconds})
        return True
    return _detach(work, target, out)


def _detach(work: Job, target: str, out: Events) -> bool:
    paths, before = work.context.paths, work.log.state

    def go(events: Events) -> dict[str, object]:
        data = _go(work, target, events)
        if work.request.watch:
            _finish(work)
        return data

    detached = detach.Detached(
        work=go,
        later=lambda: None if work.request.watch else _finish(work),
        let_go=work.lock.close,
        mend=lambda: _mend(work),
        has_switched=lambda: read_state(paths) != before,
    )
    return detach.run(detached, paths.state / "errors", out)


def _finish(work: Job) -> None:
    """Do what nobody waits for: the end of the colour that was left, then the watch, for which the lock is free."""
    try:
        work.end()
    finally:
        work.lock.release()
    work.watch()


def _mend(work: Job) -> None:
    """Clear up at once after a program that was killed at its work."""
    held = lock.take(work.context.paths.lock, {"action": lock.CLEARING_UP, "by": "Windlass", "since": now()})
    try:
        work.log.read()
        job.sweep(work.context, work.log, work.supervisor)
    finally:
        held.release()


def _archive(work: Job) -> Path:
    return work.context.paths.state / "incoming" / "archive"


def _go(work: Job, target: str, events: Events) -> dict[str, object]:
    """Do it; the lock stays with what is done later, and goes with a failure."""
    events.on_phase = lambda name: work.lock.tell(phase=name)
    work.events = events
    _with_hooks(work, events, target)
    try:
        if work.request.action == "deploy":
            data = _deploy(work, target)
        else:
            data = {"rollback": _rollback, "restart": _restart, "scale": scale.apply}[work.request.action](work, target)
        _tell(work, target)
        work.lock.tell(told=True)
        return data | ({"failed_hooks": work.failed_hooks} if work.failed_hooks else {})
    except BaseException as error:
        try:
            _tell(work, target, error)
            with contextlib.suppress(Failure, OSError):  # the first error counts
                work.end()
        finally:
            work.lock.release()
        raise


def _with_hooks(work: Job, events: Events, release: str = "") -> None:
    """Run the hooks of the entry around the phases; a restart has none, for it releases nothing."""
    if work.context.settings.hooks and work.request.action not in RELEASE_NOTHING:
        from windlass.server.hooks import Hooks

        events.around = Hooks(work, events, release)


def _tell(work: Job, release: str, error: BaseException | None = None) -> None:
    """Send a notice of how it ended, where the entry asks for one."""
    if work.context.paths.notify.exists() and work.request.action not in RELEASE_NOTHING:
        from windlass.server import notices

        notices.tell(work, release, error)


def _target(work: Job) -> str:
    """Return the release that the action is about; nothing when there is none to restart."""
    log, request = work.log, work.request
    live = log.state.release
    if request.action == "deploy":
        return log.new_name(request.commit, request.release)
    if request.action == "scale" and not live:
        raise messages.not_deployed()
    if request.action in RELEASE_NOTHING:
        return live
    return _rollback_target(log, request.to)


def _rollback_target(log: ReleaseLog, to: str) -> str:
    live = log.state.release
    good = [name for name in log.good() if name != live]
    if not live:
        raise messages.not_deployed()
    if not to:
        older = [name for name in good if name < live]
        if not older:
            raise messages.nothing_to_roll_back_to(live)
        return older[0]
    if to == live:
        raise messages.already_live(to)
    if to not in good:
        raise messages.release_not_usable(to, log.status(to) if to in log.entries else "")
    return to


def _deploy(work: Job, release: str) -> dict[str, object]:
    from windlass.server.building import build

    request, log = work.request, work.log
    values = {"commit": request.commit, "version": request.version, "by": request.by, "started": now()}
    log.add(release, status="building", **values)
    builder = build.Builder(work.context, work.context.paths.releases / release, log, work.events)
    try:
        with work.events.phase("build"):
            builder.build(_archive(work))
        files.remove(_archive(work))
        phases.run(work, release)
        return _roll_out_watched(work, release)
    except BaseException as error:
        files.remove(_archive(work))
        log.read()
        if log.state.release != release:
            builder.undo()
            with contextlib.suppress(OSError):  # on a full disk the next one writes it
                log.add(release, status="failed", error=str(error)[:500], finished=now())
        raise


def _roll_out_watched(work: Job, release: str) -> dict[str, object]:
    """Take a release live, and keep the one before it ready while the new one is watched."""
    old, seconds = work.log.state, work.context.settings.watch_seconds
    if not old.release or seconds <= 0:
        return _roll_out(work, Rollout(work, release))
    rollout = Rollout(work, release, keep=True)
    watcher = Watcher(work, Signs(work.context, work.supervisor, rollout.new), _switch_back)
    data = _roll_out(work, rollout)
    watcher.begin(rollout.new, old, rollout.colours.pid)
    work.watch = watcher.run
    work.events.note(messages.note_watched(release, old.release, seconds))
    return data


def _switch_back(work: Job, old: str) -> None:
    """Put the release that was live before in front again, where it stands ready."""
    work.events.around = lambda _when, _phase: None  # the owner's hooks are those of the deploy, which is over
    work.context = Context(work.context.paths, settings.load(work.context.paths.settings))  # scaled meanwhile, perhaps
    rollout = Rollout(work, old, back=True)
    if not rollout.colours.warm(rollout.new):
        raise messages.not_ready(rollout.new.release)
    rollout.run()
    rollout.end()


def _rollback(work: Job, release: str) -> dict[str, object]:
    left = work.log.state.release
    way = going_back.choose(work, release)
    if way.kind == "switch":
        data = _roll_back(work, release)
    else:
        from windlass.server.database import downgrade, restore  # not needed by most rollbacks, which are quick

        change = {"downgrade": downgrade.run, "restore": restore.run}[way.kind]
        data = change(work, way, _roll_back_anew)
    if release < left:
        work.log.add(left, status="bad", finished=now())
    return data


def _roll_back(work: Job, release: str) -> dict[str, object]:
    return _roll_out(work, Rollout(work, release, back=True))


def _roll_back_anew(work: Job, release: str) -> dict[str, object]:
    """Go back to a release that is started anew: one kept ready knows a database that is no more."""
    return _roll_out(work, Rollout(work, release, back=True, anew=True))


def _restart(work: Job, release: str) -> dict[str, object]:
    return _roll_out(work, Rollout(work, release))


def _end(rollout: Rollout, gone: list[Path]) -> None:
    """Let go of what was left: the old colour, and the folders of pruned releases."""
    rollout.end()
    for path in gone:
        files.remove(path)


def _roll_out(work: Job, rollout: Rollout) -> dict[str, object]:
    """Take a built release live, write that down and make room."""
    previous, release = rollout.old.release, rollout.new.release
    rollout.run()
    gone: list[Path] = []
    work.end = lambda: _end(rollout, gone)
    with work.events.phase("record"):
        values = {"seconds": work.seconds} if work.request.action == "deploy" else {}
        work.log.add(release, status="good", finished=now(), **values)
    with work.events.phase("prune"):
        gone += job.prune(work.log, work.context.settings.keep_releases)
    return {
        "release": release,
        "previous": previous or None,
        "colour": rollout.new.colour,
        "seconds": work.seconds,
    }
