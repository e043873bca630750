"""No visitor and no worker while the database is changed under the code: nothing is written that would be lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from windlass import messages
from windlass.server import maintenance, names, programs, sockets
from windlass.server.job import Job

IDLE_LIMIT = 2.0
STOP_MARGIN = 10


@contextmanager
def to_everybody(work: Job) -> Iterator[None]:
    """Answer visitors with the maintenance page, let requests in hand end, stop the workers; open again at the end."""
    paths = work.context.paths
    live = work.log.state
    workers = _workers(work)
    mine = not paths.maintenance.exists()
    try:
        if mine:
            maintenance.close_for_now(paths)
        _wait_for_requests(work, live.colour)
        work.supervisor.stop(workers, work.context.settings.stop_timeout + STOP_MARGIN)
        yield
    finally:
        if work.log.state == live:
            work.supervisor.start(workers)
        if mine:
            maintenance.reopen(paths)


def _workers(work: Job) -> set[str]:
    app = work.context.settings.name
    return programs.written(work.context) - {f"{app}-web-{colour}" for colour in names.COLOURS}


def _wait_for_requests(work: Job, colour: str) -> None:
    settings = work.context.settings
    limit = IDLE_LIMIT if settings.upstream_keepalive else float(settings.request_timeout)
    if not sockets.drain(work.context.paths.socket(colour), limit, connections_too=True):
        work.events.note(messages.note_requests_went_on(limit))
