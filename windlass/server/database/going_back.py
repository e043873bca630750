"""What a rollback does with the database: nothing, or what it was told to; never anything on its own.

It compares what the release wanted ran with and what the database has now. The live release is what was deployed
last, so its code is the one that knows the way down.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from windlass import messages
from windlass.server.database import migrations, postgresql
from windlass.server.database.migrations import Tool
from windlass.server.database.postgresql import Database
from windlass.server.errors import Failure
from windlass.server.job import Job


@dataclass(frozen=True)
class Need:
    """The schema that a release runs with: the head, and the digest of all that was applied where it was recorded."""

    head: list[str]
    applied: str = ""


@dataclass(frozen=True)
class Way:
    """How to go back to a release: `switch` alone, or with what has to be done to the database before it."""

    release: str
    kind: str = "switch"
    tool: Tool = field(default_factory=lambda: Tool("none"))
    database: Database | None = None
    need: Need = field(default_factory=lambda: Need([]))
    rows: list[str] = field(default_factory=list)


def choose(work: Job, release: str) -> Way:
    """Decide, and refuse what nobody asked for; `Failure` with nothing changed."""
    context, entries = work.context, work.log.entries
    live = work.log.state.release
    tools = {name: migrations.tool_of(context, name) for name in (release, live)}
    tool = tools[live] or tools[release]
    if tool is None:
        return Way(release)
    need, recorded = _recorded(entries.get(release, {})), _recorded(entries.get(live, {}))
    database = postgresql.of_app(context)
    if database is None and need and recorded and need.applied == recorded.applied:
        return Way(release)  # asking would take a start of the app
    asked = release if tools[release] else live
    rows = migrations.applied(context, asked, tool, database)
    if tools[release] is None:
        need = Need([], migrations.digest([]))
    elif need is None:
        need = _read(work, release, tool, rows)
    if need.applied == migrations.digest(rows):
        return Way(release, "switch", tool, database, need, rows)
    found = Way(release, "differ", tool, database, need, rows)
    return _as_told(work, found, recorded)


def _recorded(entry: dict[str, object]) -> Need | None:
    schema, head = entry.get("schema"), entry.get("head")
    if not isinstance(schema, dict) or not isinstance(head, list):
        return None
    return Need([str(name) for name in head], str(schema.get("applied")))


def _read(work: Job, release: str, tool: Tool, rows: list[str]) -> Need:
    """Find out from its code what a release needs that was made before heads were recorded."""
    given = rows if tool.name == "alembic" else None
    try:
        reading = migrations.read(work.context, release, tool, applied=given)
    except Failure as failure:
        raise messages.head_unknown(release, failure.message) from failure
    has = reading.applied or []
    same = sorted(reading.heads) == sorted(has) and reading.pending == []
    if same:
        work.events.note(messages.note_head_read(release, reading.heads))
    heads = sorted(reading.heads)
    if same:
        return Need(heads, migrations.digest(rows))
    return Need(heads, migrations.digest(heads) if tool.name == "alembic" else "")


def _as_told(work: Job, way: Way, recorded: Need | None) -> Way:
    """Return the way that the request names; the older schema is reached by one of two, and only when told."""
    live, request = work.log.state.release, work.request
    if way.release > live:
        raise messages.needs_newer_migrations(way.release, way.need.head, way.rows)
    if request.restore_snapshot:
        return Way(way.release, "restore", way.tool, way.database, way.need, way.rows)
    if request.downgrade:
        return Way(way.release, "downgrade", way.tool, way.database, way.need, way.rows)
    wanted, found = _shown(way, recorded)
    if recorded and recorded.applied != migrations.digest(way.rows):
        raise messages.migrated_by_hand(found, recorded.head, way.release, wanted)
    raise messages.migrations_differ(way.release, wanted, found)


def _shown(way: Way, recorded: Need | None) -> tuple[list[str], list[str]]:
    """Return the head wanted and the one found, as a human knows them: of Django's, those that differ."""
    if way.tool.name == "alembic":
        return way.need.head, way.rows
    if recorded and recorded.applied == migrations.digest(way.rows):
        here, there = way.need.head, recorded.head
        return [name for name in here if name not in there], [name for name in there if name not in here]
    return way.need.head, [f"{len(way.rows)} migrations"]
