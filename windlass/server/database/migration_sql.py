"""The pending migrations of a release that is only looked at, and the SQL that each would run."""

from __future__ import annotations

import json
import pkgutil
import re

from windlass import messages
from windlass.server import environment, runner, tail
from windlass.server.capture import Answer, Question, ask
from windlass.server.database import migrations, postgresql
from windlass.server.database.migrations import Reading, Tool
from windlass.server.environment import Context
from windlass.server.errors import Failure

LIMIT = 60.0
# What Alembic writes before the SQL of each migration.
MARK = re.compile(r"^-- Running upgrade .*?-> (\S+)[^\n]*$", re.MULTILINE)
TABLES = """
SELECT relname, n_live_tup, pg_total_relation_size(relid) FROM pg_stat_user_tables ORDER BY 3 DESC LIMIT 1000;
"""
LINE = re.compile(r"^windlass:(\[.*\])$", re.MULTILINE)
Found = dict[str, object]


def pending(context: Context, release: str) -> Found:
    """Return the tool, where the database is, and each pending migration with its SQL; or why it cannot be known."""
    found: Found = {"tool": None, "vendor": None, "version": None, "applied": [], "migrations": [], "problem": ""}
    found["tables"] = {}
    tool = migrations.tool_of(context, release)
    if tool is None:
        return found
    database = postgresql.of_app(context)
    found |= {"tool": tool.name, "vendor": _vendor(context)}
    try:
        if database is not None:
            found["version"] = int(database.sql("SHOW server_version_num;")[0][0]) // 10_000
            found["tables"] = _tables(database)
        applied = migrations.applied(context, release, tool, database)
        reading = migrations.read(context, release, tool, applied=applied)
        found["applied"] = applied if tool.name == "alembic" else []
        found["migrations"] = _each(context, release, tool, reading, applied)
    except Failure as failure:
        found["problem"] = failure.message
    return found


def _tables(database: postgresql.Database) -> Found:
    """Return about how many rows, and how many bytes, each table has."""
    rows = database.sql(TABLES)
    return {name: {"rows": int(count), "bytes": int(size)} for name, count, size in rows}


def _vendor(context: Context) -> str:
    """Return which database DATABASE_URL names; PostgreSQL where it is silent and the app has that service."""
    scheme = environment.app_values(context.paths).get("DATABASE_URL", "").partition(":")[0].partition("+")[0]
    if scheme in ("postgres", "postgresql", "postgis") or (not scheme and "postgresql" in context.settings.services):
        return "postgresql"
    return re.sub(r"[^a-z0-9]", "", scheme.lower())[:20] or "unknown"


def _each(context: Context, release: str, tool: Tool, reading: Reading, applied: list[str]) -> list[Found]:
    if reading.pending is None:
        raise messages.database_ahead(applied)
    if not reading.pending:
        return []
    sql = _django(context, release) if tool.name == "django" else _alembic(context, release, tool, applied)
    missing = sql.pop("", ("", "no SQL of it could be had"))
    told = []
    for name in reading.pending:
        text, problem = sql.get(name, missing)
        told.append({"name": name, "sql": text, "problem": problem, "undoable": name not in reading.stuck})
    return told


def _ask(context: Context, release: str, words: list[str]) -> Answer:
    python = context.paths.releases / release / ".venv/bin/python"
    folder = migrations.folder_of(context, release)
    values = environment.of_process(context, release, "release")
    return ask(Question([str(python), *words], runner.user(context.settings.app_user), values, folder), LIMIT)


def _why(answer: Answer) -> str:
    return tail.reason(answer.errors.splitlines()) or answer.last_error


def _alembic(context: Context, release: str, tool: Tool, applied: list[str]) -> dict[str, tuple[str, str]]:
    """Return SQL and problem by migration, from Alembic's offline mode; under "" what is true of all others."""
    if len(applied) > 1:
        return {"": ("", "Alembic prints no SQL for a database with several heads")}
    span = f"{applied[0]}:heads" if applied else "heads"
    answer = _ask(context, release, tool.command("upgrade", span, "--sql"))
    begin, *parts = MARK.split(answer.output)
    begin = begin[found:] if (found := begin.rfind("BEGIN;")) >= 0 else ""
    names, texts = parts[::2], parts[1::2]
    sql = {
        name: ((begin if number == 0 else "") + text, "")
        for number, (name, text) in enumerate(zip(names, texts, strict=True))
    }
    if answer.status:
        problem = f"its SQL cannot be had without running it: {_why(answer)}"
        if names:
            sql[names[-1]] = (sql[names[-1]][0], problem)
        sql[""] = ("", problem if not names else "one before it gives no SQL")
    return sql


def _django(context: Context, release: str) -> dict[str, tuple[str, str]]:
    """Return SQL and problem by migration, as `sqlmigrate` has them."""
    text = (pkgutil.get_data("windlass.server.database", "probe_sql_django.py") or b"").decode()
    answer = _ask(context, release, ["manage.py", "shell", "-c", text])
    line = LINE.search(answer.output)
    if line is None:
        return {"": ("", f"Django gives no SQL of it: {_why(answer)}")}
    return {name: (sql, problem) for name, sql, problem in json.loads(line[1])}
