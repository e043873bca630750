"""The phases `snapshot` and `release`: a copy of the database where migrations are pending, then the migrations."""

from __future__ import annotations

from windlass import messages
from windlass.server.database import migrations, release_command, schema, snapshots
from windlass.server.database.schema import Standing
from windlass.server.errors import Failure
from windlass.server.job import Job


def run(work: Job, release: str) -> None:
    """Bring the database to the release, and write down where it stands then."""
    if not release_command.wanted(work, release):
        for phase in ("snapshot", "release"):
            work.events.skipped(phase)
        schema.record(work, release, None)
        return
    before = schema.standing(work, release)
    _snapshot(work, release, before)
    with work.events.phase("release"):
        try:
            release_command.run(work, release)
        except Failure as failure:
            _tell_what_is_left(work, release, before, failure)
            raise
        schema.record(work, release, before)


def _snapshot(work: Job, release: str, before: Standing | None) -> None:
    """Copy the database if something is pending, or if that cannot be told."""
    keep = work.context.settings.keep_snapshots
    if before and before.pending and before.database is None and "postgresql" in work.context.settings.services:
        work.events.note(messages.note_no_snapshot())
    if before is None or before.pending == [] or before.database is None or not keep:
        work.events.skipped("snapshot")
        return
    with work.events.phase("snapshot"):
        taken = snapshots.take(work.context, before.database, release, migrations.digest(before.rows))
        work.log.add(release, snapshot=taken.as_dict())
        snapshots.prune(work.context.paths, keep)


def _tell_what_is_left(work: Job, release: str, before: Standing | None, failure: Failure) -> None:
    """Say when a release command that failed has changed the database all the same."""
    if before is None or before.database is None:
        return
    try:
        rows = migrations.applied(work.context, release, before.tool, before.database)
    except (Failure, OSError):
        return
    done = [row for row in rows if row not in before.rows]
    if done:
        failure.message += messages.left_in_the_database(done)
