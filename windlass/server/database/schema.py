"""Where the database stands with a release: before its migrations, and, written down, after them."""

from __future__ import annotations

from dataclasses import dataclass

from windlass import messages
from windlass.server.database import migrations, postgresql
from windlass.server.database.migrations import Tool
from windlass.server.database.postgresql import Database
from windlass.server.errors import Failure
from windlass.server.job import Job
from windlass.server.log import ReleaseLog


@dataclass(frozen=True)
class Standing:
    """A release and the database, before the release command; `pending` is None where that cannot be told."""

    tool: Tool
    files: str
    database: Database | None
    rows: list[str]
    pending: list[str] | None


def standing(work: Job, release: str) -> Standing | None:
    """Find out what is pending; nothing for an app without migrations, or with some that cannot be read.

    The app is not started when the files are those of the live release and the database is as that one left it.
    """
    try:
        tool = migrations.tool_of(work.context, release)
        return _standing(work, release, tool) if tool else None
    except (Failure, OSError, ValueError) as error:
        work.events.note(messages.note_migrations_not_looked_at(str(error)))
        return None


def _standing(work: Job, release: str, tool: Tool) -> Standing:
    files = migrations.fingerprint(work.context, release)
    database = postgresql.of_app(work.context)
    known = _record(work.log, work.log.state.release)
    same = known.get("files") == files
    if database is None and same:
        return Standing(tool, files, None, [], [])  # asking would take a start of the app
    rows = migrations.applied(work.context, release, tool, database)
    if same and known.get("applied") == migrations.digest(rows):
        return Standing(tool, files, database, rows, [])
    reading = migrations.read(work.context, release, tool, applied=rows if tool.name == "alembic" else None)
    return Standing(tool, files, database, rows, reading.pending)


def _record(log: ReleaseLog, release: str) -> dict[str, object]:
    found = log.entries.get(release, {}).get("schema")
    return found if isinstance(found, dict) else {}


def record(work: Job, release: str, before: Standing | None) -> None:
    """Write down with which migrations the release runs; an app without any is written down as such."""
    try:
        tool = before.tool if before else migrations.tool_of(work.context, release)
        if tool is None:
            work.log.add(release, migrations="none", head=[])
            return
        files = before.files if before else migrations.fingerprint(work.context, release)
        head, applied = _now(work, release, tool, files)
    except (Failure, OSError, ValueError) as error:
        work.events.note(messages.note_head_not_recorded(str(error)))
        return
    work.log.add(release, migrations=tool.name, head=head, schema={"files": files, "applied": applied})


def _now(work: Job, release: str, tool: Tool, files: str) -> tuple[list[str], str]:
    """Return the head that the database has, and the digest of all that it has."""
    database, log = postgresql.of_app(work.context), work.log
    live = log.state.release
    known = _record(log, live)
    head = [str(name) for name in _list(log.entries.get(live, {}).get("head"))]
    if database is None and known.get("files") == files:
        return head, str(known.get("applied"))
    rows = migrations.applied(work.context, release, tool, database)
    digest = migrations.digest(rows)
    if tool.name == "alembic":
        return rows, digest
    if known.get("files") == files and known.get("applied") == digest:
        return head, digest
    return migrations.read(work.context, release, tool).applied or [], digest


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []
