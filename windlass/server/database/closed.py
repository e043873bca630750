"""No visitor and no worker while the database is changed under the code: nothing is written that would be lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from windlass import messages
from windlass.server.job import Job
from windlass.server.processes import programs, sockets
from windlass.server.processes.workers import Workers
from windlass.server.rollout import maintenance

IDLE_LIMIT = 2.0


@contextmanager
def to_everybody(work: Job) -> Iterator[None]:
    """Let the workers finish, answer visitors with the maintenance page, let requests in hand end; open at the end."""
    paths, live = work.context.paths, work.log.state
    workers = Workers(work.context, work.supervisor, work.events.note).groups()
    mine = not paths.maintenance.exists()
    maintenance.begin_moment(paths)
    try:
        limits = [programs.stop_limit(work.context, group) for group in workers]
        work.supervisor.stop(workers, max(limits, default=0.0))
        if mine:
            maintenance.close_for_now(paths)
        _wait_for_requests(work, live.colour)
        yield
    finally:
        if work.log.state == live:
            work.supervisor.start(workers)
        maintenance.reopen(paths)


def _wait_for_requests(work: Job, colour: str) -> None:
    """Wait until no connection is open; those that nginx keeps are open for longer than anybody waits."""
    settings = work.context.settings
    limit = IDLE_LIMIT if settings.upstream_keepalive else float(settings.request_timeout)
    if not sockets.drain(work.context.paths.socket(colour), limit, connections_too=True):
        work.events.note(messages.note_requests_went_on(limit))
