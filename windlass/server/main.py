"""One request in, its events out; or, in one word, what Supervisor, a timer or Ansible starts."""

from __future__ import annotations

import sys

from windlass.server.rollout import standby

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path


def main(prefix: Path | str = "") -> int:
    """Serve the request on stdin, or launch a process; return the exit status."""
    if sys.argv[1:]:
        from pathlib import Path

        return _called(Path(prefix or "/"))
    line = sys.stdin.buffer.readline(standby.LIMIT)
    status = standby.hand_over(prefix, line)
    return status_of(prefix or "/", line) if status is None else status


def _called(prefix: Path) -> int:
    """Do what the arguments say."""
    if sys.argv[1:2] == ["launch"]:
        from windlass.server.processes.launch import launch

        return launch(prefix, sys.argv[2:])
    if sys.argv[1:] == ["boot"]:
        from windlass.server.rollout.recovery import boot

        return boot(prefix)
    if sys.argv[1:] == ["tidy"]:
        from windlass.server.tidy import tidy

        return tidy(prefix)
    if sys.argv[1:2] == ["cron"]:
        from windlass.server.schedule.cron import cron

        return cron(prefix, sys.argv[2:])
    if sys.argv[1:2] == ["timers"]:
        from windlass.server.schedule.timers import timers

        return timers(prefix, sys.argv[2:])
    if sys.argv[1:2] == ["stale"]:
        from windlass.server.processes.stale import stale

        return stale(prefix, sys.argv[2:])
    if sys.argv[1:2] == ["deploy-only"] and len(sys.argv) == 3 and sys.argv[2]:
        return status_of(prefix, sys.stdin.buffer.readline(standby.LIMIT), only=sys.argv[2])
    print("usage: windlass [deploy-only APP] < REQUEST (one line of JSON)", file=sys.stderr)
    return 2


def status_of(prefix: Path | str, line: bytes, *, only: str = "") -> int:
    """Do what a request asks for, and return the exit status.

    `only` is the app whose pipeline asks, which may do nothing but deploy it.
    """
    from pathlib import Path

    try:
        return 0 if _serve(Path(prefix), line, only) else 1
    except ConnectionError:
        return 1


def _serve(prefix: Path, line: bytes, only: str) -> bool:
    from windlass import messages
    from windlass.server import protocol
    from windlass.server.errors import Failure

    out = protocol.Events(sys.stdout.fileno(), strict=True)
    try:
        request = protocol.parse(line)
        if only:
            protocol.require_deploy_of(only, request)
        return _answer(prefix, request, out)
    except ConnectionError:
        raise
    except Exception as error:
        failure = error if isinstance(error, Failure) else messages.unexpected(error)
        failure.phase = failure.phase or out.phase_name
        out.send(failure.as_result())
        return False


def _answer(prefix: Path, request: object, out: object) -> bool:
    from windlass.server import actions, queries, settings
    from windlass.server.environment import Context
    from windlass.server.log import ReleaseLog
    from windlass.server.paths import Paths
    from windlass.server.protocol import CHANGES, TOLD, Events, Request
    from windlass.server.rollout import maintenance

    assert isinstance(request, Request) and isinstance(out, Events)  # noqa: S101
    paths = Paths(prefix, request.app)
    context = Context(paths, settings.load(paths.settings))
    if request.action in TOLD:
        out.send({"event": "entry", **settings.told(paths)})
    if request.action in CHANGES and (request.action != "scale" or request.counts is not None):
        return actions.perform(context, request, sys.stdin.buffer, out)
    log = ReleaseLog(paths)
    log.read()
    answers = {
        "releases": lambda: queries.releases(log),
        "status": lambda: queries.status(context, log),
        "check": lambda: queries.check(context),
        "logs": lambda: queries.logs(context, request, out),
        "run": lambda: queries.run(context, log, request, out),
        "maintenance": lambda: maintenance.turn(paths, request.by, on=bool(request.on)),
    }
    if request.action == "scale":
        from windlass.server.processes import scale

        answers["scale"] = lambda: scale.counts(context, log)
    if request.action == "plan":
        from windlass.server.building import plan

        answers["plan"] = lambda: plan.perform(context, request, sys.stdin.buffer, out)
    out.result(answers[request.action]())
    return True
