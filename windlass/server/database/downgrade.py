"""Back over a migration by the app's own downgrade, run from the newer release: its code alone knows the way down.

The order is: closed to visitors and workers, downgrade, switch, open. The newer code cannot work with the older schema
nor the older code with the newer one, so nobody may be served in between, and a request in that moment gets the
maintenance page rather than an error.
"""

from __future__ import annotations

from collections.abc import Callable

from windlass import messages
from windlass.server.database import closed, migrations, release_command, snapshots
from windlass.server.database.going_back import Way
from windlass.server.database.migrations import Reading
from windlass.server.job import Job
from windlass.server.rollout import maintenance
from windlass.server.tail import because

RollOut = Callable[[Job, str], dict[str, object]]


def run(work: Job, way: Way, roll_out: RollOut) -> dict[str, object]:
    """Undo the migrations that the older release does not have, and go back to it; all of it or nothing."""
    live = work.log.state.release
    reading = _checked(work, way, live)
    work.events.note(messages.note_undoing(reading.undo or []))
    _copy(work, way, live)
    with closed.to_everybody(work):
        maintenance.database_changes(work.context.paths)
        with work.events.phase("downgrade"):
            _down(work, way, live, reading)
        try:
            return roll_out(work, way.release)
        except BaseException:
            if work.log.state.release == live:
                _up(work, way, live)
            raise


def _checked(work: Job, way: Way, live: str) -> Reading:
    """Make sure that there is a way down before anything is touched."""
    applied = way.rows if way.tool.name == "alembic" else None
    reading = migrations.read(work.context, live, way.tool, applied=applied, target=way.need.head)
    if reading.stuck:
        raise messages.downgrade_impossible(list(reading.stuck))
    if not reading.undo:
        raise messages.downgrade_impossible(way.rows)
    return reading


def _copy(work: Job, way: Way, live: str) -> None:
    """Keep what the downgrade takes away; a column that is dropped does not come back with an upgrade."""
    if way.database is None or not work.context.settings.keep_snapshots:
        work.events.skipped("snapshot")
        return
    name = f"{live}-left"
    with work.events.phase("snapshot"):
        snapshots.take(work.context, way.database, name, migrations.digest(way.rows))
        snapshots.prune(work.context.paths, work.context.settings.keep_snapshots)
    work.events.note(messages.note_copy_kept(snapshots.file_of(work.context.paths, name)))


def _down(work: Job, way: Way, live: str, reading: Reading) -> None:
    said = ""
    try:
        for words in migrations.downwards(way.tool, reading, way.need.head, way.rows):
            outcome = release_command.patiently(work, live, _python(work, live, words))
            if outcome.status:
                tail = list(outcome.tail)
                said = because(tail).removeprefix(": ") or f"status {outcome.status}"
                break
    except BaseException:
        _back_up(work, way, live, "interrupted")
        raise
    rows = migrations.applied(work.context, live, way.tool, way.database)
    if not said and migrations.digest(rows) == way.need.applied:
        return
    said = said or f"it ended at {', '.join(rows) or 'no migration'}"
    _back_up(work, way, live, said)
    raise messages.downgrade_failed(said)


def _back_up(work: Job, way: Way, live: str, said: str) -> None:
    """Leave the database as it was; most often a transaction has seen to that."""
    rows = migrations.applied(work.context, live, way.tool, way.database)
    if rows != way.rows:
        _up(work, way, live)
        rows = migrations.applied(work.context, live, way.tool, way.database)
    if rows != way.rows:
        raise messages.downgrade_left_apart(rows, way.rows, said)


def _up(work: Job, way: Way, live: str) -> None:
    release_command.patiently(work, live, _python(work, live, migrations.upwards(way.tool)))


def _python(work: Job, release: str, words: list[str]) -> list[str]:
    return [str(work.context.paths.releases / release / ".venv/bin/python"), *words]
