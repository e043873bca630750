"""The app's migrations: its tool, what its code has and its database has, and the way up or down.

All of it runs as the app's user, in the release's own environment and folder, and is bounded in time.
"""

from __future__ import annotations

import hashlib
import json
import os
import pkgutil
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from windlass import messages
from windlass.server import environment, runner
from windlass.server.building import identity
from windlass.server.capture import Question, ask
from windlass.server.database.postgresql import Database
from windlass.server.environment import Context
from windlass.server.names import KEY_FILE

READ_LIMIT = 60.0
SKIPPED = {".venv", "venv", "node_modules", ".git", "__pycache__", "static"}
# A file with one of these in it can change which migrations there are.
TELLING = (b"down_revision", b"migrations.Migration", b"INSTALLED_APPS", b"MIGRATION_MODULES")
CONFIGURATION = ("alembic.ini", "pyproject.toml")
LINE = re.compile(r"^windlass:(\{.*\})$", re.MULTILINE)
REVISION = re.compile(r"^([0-9A-Za-z_]+)(?: \(.*\))?\s*$", re.MULTILINE)
NAME = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]*")
FLASK = ("migrations/alembic.ini", "migrations")


@dataclass(frozen=True)
class Tool:
    """How an app migrates: `alembic` (through Flask-Migrate or not) or `django`."""

    name: str
    config: str = ""
    location: str = ""

    @property
    def flask(self) -> bool:
        """Whether Alembic is driven by Flask-Migrate."""
        return bool(self.location)

    def command(self, *words: str) -> list[str]:
        """Return what runs the tool; the interpreter is to be put before it."""
        if self.name == "django":
            return ["manage.py", *words]
        return ["-m", "flask", "db", *words] if self.flask else ["-m", "alembic", *words]


@dataclass(frozen=True)
class Reading:
    """What the code of one release says; names in the order in which they would be done."""

    heads: list[str]
    applied: list[str] | None = None
    pending: list[str] | None = None
    undo: list[str] | None = None
    stuck: tuple[str, ...] = ()
    targets: tuple[tuple[str, str | None], ...] = ()


def folder_of(context: Context, release: str) -> Path:
    """Return the folder in which the app's commands run."""
    return context.paths.releases / release / context.settings.directory


def tool_of(context: Context, release: str) -> Tool | None:
    """Find out how the release migrates; nothing where its files or its packages say that it does not."""
    folder, wanted = folder_of(context, release), context.settings.migrations
    if wanted == "none":
        return None
    with identity.reading_as(context.settings.builder):
        if wanted in ("auto", "django") and b"DJANGO_SETTINGS_MODULE" in _text(folder / "manage.py"):
            return Tool("django") if _installed(context, release, "django") else None
        if wanted == "django" or not _installed(context, release, "alembic"):
            return None
        if (folder / FLASK[0]).is_file() and b"script_location" not in _text(folder / FLASK[0]):
            return Tool("alembic", *FLASK)
        if (folder / "alembic.ini").is_file():
            return Tool("alembic", "alembic.ini")
        if b"[tool.alembic]" in _text(folder / "pyproject.toml"):
            return Tool("alembic", "pyproject.toml")
    return None


def _installed(context: Context, release: str, package: str) -> bool:
    return any((context.paths.releases / release).glob(f".venv/lib/python3*/site-packages/{package}"))


def _text(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def fingerprint(context: Context, release: str) -> str:
    """Return a digest of all files that can change which migrations there are."""
    folder, found = folder_of(context, release), hashlib.sha256()
    with identity.reading_as(context.settings.builder):
        for path in _files(folder):
            text = _text(path)
            if path.name in CONFIGURATION or "migrations" in path.parts or any(word in text for word in TELLING):
                found.update(f"{path.relative_to(folder)}\0{len(text)}\0".encode() + text)
        found.update(_text(context.paths.releases / release / KEY_FILE))
    return found.hexdigest()


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in SKIPPED)
        for name in sorted(names):
            if name.endswith(".py") or name in CONFIGURATION:
                yield Path(place) / name


def read(context: Context, release: str, tool: Tool, **given: list[str] | None) -> Reading:
    """Ask the release's own code; `applied` is what an Alembic database has, `target` where one would go down to."""
    env = {f"WINDLASS_{name.upper()}": json.dumps(value) for name, value in given.items() if value is not None}
    text = (pkgutil.get_data("windlass.server.database", f"probe_{tool.name}.py") or b"").decode()
    words = ["manage.py", "shell", "-c", text] if tool.name == "django" else ["-c", text, tool.config, tool.location]
    output = _run(context, release, words, env)
    line = LINE.search(output)
    if line is None:
        raise messages.migrations_unread(f"{tool.name} does not say which there are")
    data = json.loads(line[1])
    return Reading(
        data["heads"],
        data.get("applied", given.get("applied")),
        data["pending"],
        data["undo"],
        tuple(data["stuck"]),
        tuple((app, name) for app, name in data.get("targets", ())),
    )


def _run(context: Context, release: str, words: Sequence[str], env: dict[str, str]) -> str:
    python = context.paths.releases / release / ".venv/bin/python"
    values = environment.of_process(context, release, "release") | env
    user = runner.user(context.settings.app_user)
    question = Question([str(python), *words], user, values, folder_of(context, release))
    answer = ask(question, READ_LIMIT)
    if answer.status:
        raise messages.migrations_unread(answer.last_error)
    return answer.output


def applied(context: Context, release: str, tool: Tool, database: Database | None) -> list[str]:
    """Return what the database says it has: Alembic's versions, or all of Django's migrations, in order."""
    rows = None
    if database is not None and not (tool.name == "alembic" and _names_its_table(context, release)):
        rows = rows_of(database, tool)
    return sorted(set(_asked(context, release, tool) if rows is None else rows))


def _asked(context: Context, release: str, tool: Tool) -> list[str]:
    """Have the tool itself look: it takes a start of the app, and knows other databases and other places."""
    if tool.name == "django":
        return read(context, release, tool).applied or []
    return REVISION.findall(_run(context, release, tool.command("current"), {}))


def _names_its_table(context: Context, release: str) -> bool:
    """Say whether the app keeps Alembic's versions elsewhere than Alembic does by itself."""
    with identity.reading_as(context.settings.builder):
        found = folder_of(context, release).glob("*/env.py")
        return any(b"version_table" in _text(path) for path in found)


def rows_of(database: Database, tool: Tool) -> list[str] | None:
    """Return what the tool's own table in a database says, in no order; nothing where there is no such table."""
    table, columns = {
        "alembic": ("alembic_version", "version_num"),
        "django": ("django_migrations", "app || '.' || name"),
    }[tool.name]
    script = f"SELECT to_regclass('{table}') IS NOT NULL AS there \\gset\n"
    script += f"\\if :there\nSELECT {columns} FROM {table};\n\\else\n\\echo -\n\\endif\n"
    rows = [row[0] for row in database.sql(script)]
    return None if rows == ["-"] else rows


def digest(rows: Sequence[str]) -> str:
    """Return what tells two lists of applied migrations apart."""
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()[:16]


def upwards(tool: Tool) -> list[str]:
    """Return the command that brings the database to the newest migrations of the code."""
    if tool.name == "django":
        return tool.command("migrate", "--noinput")
    return tool.command("upgrade", "heads")


def downwards(tool: Tool, reading: Reading, target: list[str], rows: list[str]) -> list[list[str]]:
    """Return the commands that bring the database down to `target`, to be run one after the other."""
    if tool.name == "django":
        steps = [tool.command("migrate", "--noinput", app, name or "zero") for app, name in reading.targets]
    else:
        heads = [head for head in target if head not in rows] or ([] if target else ["base"])
        steps = [tool.command("downgrade", head) for head in heads]
    for word in (word for step in steps for word in step):
        if not NAME.fullmatch(word.lstrip("-")):
            raise messages.migrations_unread(f"{word!r} is no name of one")
    return steps
