"""Back over a migration by the copy of the database from before it; what was written since goes, and is announced."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from windlass import messages
from windlass.server.database import closed, owner, ownership, postgresql, snapshots, swap
from windlass.server.database.going_back import Way
from windlass.server.database.postgresql import Database, as_superuser
from windlass.server.job import Job
from windlass.server.rollout import maintenance

RollOut = Callable[[Job, str], dict[str, object]]
KINDS = ("new", "changed", "deleted")


def run(work: Job, way: Way, roll_out: RollOut) -> dict[str, object]:
    """Restore the copy, put it in place and go back; the database as it was is kept under another name."""
    live = work.log.state.release
    name, taken = agreed(work, way)
    assert way.database is not None  # noqa: S101 - `agreed` has looked
    with work.events.phase("restore"):
        copy = swap.Copy(snapshots.file_of(work.context.paths, name), way.tool, str(taken["applied"]))
        by = postgresql.of_owner(work.context) or way.database
        beside = swap.prepare(copy, way.database, by, _whose(work, way.database))
    try:
        with closed.to_everybody(work):
            maintenance.database_changes(work.context.paths)
            kept = beside.swap()
            try:
                data = roll_out(work, way.release)
            except BaseException:
                if work.log.state.release == live:
                    beside.swap_back(kept)
                raise
    except BaseException:
        beside.drop()
        raise
    work.events.note(messages.note_database_kept(kept, way.database.name))
    return data | {"kept_database": kept}


def _whose(work: Job, live: Database) -> str:
    """Return the SQL that says whose everything in the app's database is, where the roles are ours."""
    name = work.context.settings.name
    if live.env["PGUSER"] != name or "postgresql" not in work.context.settings.services:
        return ""
    return ownership.script(name, work.context.settings.owner if owner.owns(work.context) else name)


def agreed(work: Job, way: Way) -> tuple[str, dict[str, object]]:
    """Return the copy that fits, and what is known of it, once what it costs is agreed to."""
    name, taken = _fitting(work, way)
    lost = loss(way, taken)
    if not work.request.confirmed:
        raise messages.restore_unconfirmed(lost)
    work.events.note(messages.note_restoring(lost))
    return name, taken


def _fitting(work: Job, way: Way) -> tuple[str, dict[str, object]]:
    """Return the newest copy of the database as the release wanted left it."""
    why = "no release after it took one"
    for name in sorted(work.log.entries, reverse=True):
        taken = work.log.entries[name].get("snapshot")
        if name <= way.release or not isinstance(taken, dict):
            continue
        if taken.get("applied") != way.need.applied:
            why = "the copies that there are hold other migrations"
        elif not snapshots.file_of(work.context.paths, name).exists():
            why = f"that of {name} is no longer kept"
        else:
            return name, taken
    raise messages.no_snapshot(way.release, why if way.database else "DATABASE_URL names no PostgreSQL")


def loss(way: Way, taken: dict[str, object]) -> str:
    """Return what was written since the copy: for how long, and in which tables how many rows, where that is known."""
    since = datetime.strptime(str(taken["taken"]), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    minutes = max(0.0, (datetime.now(UTC) - since).total_seconds() / 60)
    before = taken.get("written")
    now = snapshots.counters(as_superuser(way.database)) if way.database else {}
    return messages.what_a_restore_loses(
        str(taken["taken"]), minutes, _rows(before if isinstance(before, dict) else {}, now)
    )


def _rows(before: dict[str, list[int]], now: dict[str, list[int]]) -> str:
    """Return the rows written to each table between two readings of the statistics."""
    told = []
    for table, counts in sorted(now.items()):
        changes = [later - earlier for later, earlier in zip(counts, before.get(table, [0, 0, 0]), strict=True)]
        if min(changes) < 0:
            return ""  # the statistics began anew
        words = [f"{number} {kind}" for number, kind in zip(changes, KINDS, strict=True) if number]
        if words:
            told.append(f"{table.removeprefix('public.')} {', '.join(words)}")
    return "; ".join(told) or "no row by the server's statistics"
