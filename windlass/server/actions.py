"""The actions that change what runs: deploy, rollback, restart."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from windlass import messages
from windlass.server import build, checks, detach, downgrade, files, going_back, job, lock, migrating, restoring, upload
from windlass.server.environment import Context
from windlass.server.job import Job
from windlass.server.log import ReleaseLog, now, read_state
from windlass.server.protocol import Events, Request
from windlass.server.rollout import Rollout
from windlass.server.supervisor import Supervisor


def perform(context: Context, request: Request, stream: BinaryIO, out: Events) -> bool:
    """Do the action: what needs the client here, the rest in a process that outlives it."""
    paths = context.paths
    (paths.state / "incoming").mkdir(mode=0o700, exist_ok=True)
    note: dict[str, object] = {"action": request.action, "by": request.by, "since": now()}
    note |= {"version": request.version, "phase": "check"}
    held = lock.take(paths.state / "lock", note, lock.Waiting(out, wait=request.wait))
    out.on_phase = lambda name: held.tell(phase=name)
    log = ReleaseLog(paths)
    work = Job(context, request, log, held, out, Supervisor(paths.supervisor_socket))
    _with_hooks(work, out)
    try:
        log.read()
        with out.phase("check"):
            job.sweep(log)
            target = _target(work)
            checks.require(context, request.size)
            _with_hooks(work, out, target)
            out.chosen(target)
            job.tell_unsent(paths, out)
        if request.action == "deploy":
            with out.phase("upload"):
                out.send({"event": "send"})
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
    before = log.state
    return detach.run(
        lambda events: _go(work, target, events),
        paths.state / "events.jsonl",
        out,
        held.close,
        lambda: read_state(paths) != before,
    )


def _archive(work: Job) -> Path:
    return work.context.paths.state / "incoming" / "archive"


def _go(work: Job, target: str, events: Events) -> dict[str, object]:
    events.on_phase = lambda name: work.lock.tell(phase=name)
    work.events = events
    _with_hooks(work, events, target)
    try:
        data = {"deploy": _deploy, "rollback": _rollback, "restart": _restart}[work.request.action](work, target)
        _tell(work, target)
        return data | ({"failed_hooks": work.failed_hooks} if work.failed_hooks else {})
    except BaseException as error:
        _tell(work, target, error)
        raise
    finally:
        work.lock.release()


def _with_hooks(work: Job, events: Events, release: str = "") -> None:
    """Run the hooks of the entry around the phases; a restart has none, for it releases nothing."""
    if work.context.settings.hooks and work.request.action != "restart":
        from windlass.server.hooks import Hooks

        events.around = Hooks(work, events, release)


def _tell(work: Job, release: str, error: BaseException | None = None) -> None:
    """Send a notice of how it ended, where the entry asks for one."""
    if work.context.paths.notify.exists() and work.request.action != "restart":
        from windlass.server import notices

        notices.tell(work, release, error)


def _target(work: Job) -> str:
    """Return the release that the action is about; nothing when there is none to restart."""
    log, request = work.log, work.request
    live = log.state.release
    if request.action == "deploy":
        return log.new_name(request.commit, request.release)
    if request.action == "restart":
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
    request, log = work.request, work.log
    values = {"commit": request.commit, "version": request.version, "by": request.by, "started": now()}
    log.add(release, status="building", **values)
    builder = build.Builder(work.context, work.context.paths.releases / release, log, work.events)
    try:
        with work.events.phase("build"):
            builder.build(_archive(work))
        files.remove(_archive(work))
        migrating.run(work, release)
        return _roll_out(work, release)
    except BaseException as error:
        files.remove(_archive(work))
        log.read()
        if log.state.release != release:
            builder.undo()
            log.add(release, status="failed", error=str(error)[:500], finished=now())
        raise


def _rollback(work: Job, release: str) -> dict[str, object]:
    left = work.log.state.release
    way = going_back.choose(work, release)
    data = {"downgrade": downgrade.run, "restore": restoring.run}.get(way.kind, _switch)(work, way, _roll_out)
    if release < left:
        work.log.add(left, status="bad", finished=now())
    return data


def _switch(work: Job, way: going_back.Way, roll_out: downgrade.RollOut) -> dict[str, object]:
    return roll_out(work, way.release)


def _restart(work: Job, release: str) -> dict[str, object]:
    return _roll_out(work, release)


def _roll_out(work: Job, release: str) -> dict[str, object]:
    """Take a built release live, write that down and make room."""
    previous = work.log.state.release
    rollout = Rollout(work, release)
    rollout.run()
    with work.events.phase("record"):
        values = {"seconds": work.seconds} if work.request.action == "deploy" else {}
        work.log.add(release, status="good", finished=now(), **values)
    with work.events.phase("prune"):
        job.prune(work.log, work.context.settings.keep_releases)
    return {
        "release": release,
        "previous": previous or None,
        "colour": rollout.new.colour,
        "seconds": work.seconds,
    }
