"""What is read from a URL, a row of statistics and a folder of migrations, without a database."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from windlass.server.database import lock_holders, migrations, postgresql, restore
from windlass.server.environment import Context
from windlass.server.paths import Paths
from windlass.server.settings import Settings

RELEASE = "20260101T000000Z-abcdef1"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql:///shop?host=/var/run/postgresql", {"PGDATABASE": "shop", "PGHOST": "/var/run/postgresql"}),
        (
            "postgresql+psycopg://ann:p%40ss%2Fword@db.example.com:5433/shop?sslmode=require",
            {
                "PGHOST": "db.example.com",
                "PGPORT": "5433",
                "PGUSER": "ann",
                "PGPASSWORD": "p@ss/word",
                "PGDATABASE": "shop",
                "PGSSLMODE": "require",
            },
        ),
        ("postgres://ann@%2Fvar%2Frun/shop", {"PGUSER": "ann", "PGHOST": "/var/run", "PGDATABASE": "shop"}),
    ],
    ids=["socket", "everything", "socket-as-host"],
)
def test_a_url_says_where_the_database_is(url: str, expected: dict[str, str]) -> None:
    assert postgresql.variables(url) == expected


def test_a_session_is_described_without_the_values_in_its_query() -> None:
    row = ["41", "ann", "psql", "75", "active", "UPDATE card SET number = '4111' WHERE id = 7 AND name = 'O''Hara'"]
    told = lock_holders.described(row)
    assert told.startswith("pid 41, user ann, program psql, for 75 s")
    assert "UPDATE card SET number = ?" in told
    assert not any(word in told for word in ("4111", "O''Hara", "7 "))


def test_what_a_restore_loses_is_told_by_table() -> None:
    before = {"public.note": [5, 1, 0], "public.tag": [3, 0, 0]}
    now = {"public.note": [9, 1, 2], "public.tag": [3, 0, 0], "log.visit": [40, 0, 0]}
    assert restore._rows(before, now) == "log.visit 40 new; note 4 new, 2 deleted"
    assert restore._rows(before, {"public.note": [2, 0, 0]}) == ""


@pytest.fixture
def context(tmp_path: Path) -> Context:
    paths = Paths(tmp_path, "shop")
    (paths.releases / RELEASE / ".venv/lib/python3.13/site-packages").mkdir(parents=True)
    return Context(paths, Settings("shop", ["shop.example.com"], build_user=getpass.getuser()))


def write(context: Context, **files: str) -> None:
    for name, text in files.items():
        path = context.paths.releases / RELEASE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def install(context: Context, package: str) -> None:
    (context.paths.releases / RELEASE / ".venv/lib/python3.13/site-packages" / package).mkdir()


@pytest.mark.parametrize(
    ("files", "package", "command"),
    [
        ({"migrations/alembic.ini": "[alembic]\n"}, "alembic", ["-m", "flask", "db"]),
        ({"alembic.ini": "[alembic]\nscript_location = m\n"}, "alembic", ["-m", "alembic"]),
        ({"pyproject.toml": "[tool.alembic]\nscript_location = 'm'\n"}, "alembic", ["-m", "alembic"]),
        ({"manage.py": "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 's')\n"}, "django", ["manage.py"]),
    ],
    ids=["flask-migrate", "alembic", "pyproject", "django"],
)
def test_the_tool_is_found_by_its_files(
    context: Context, files: dict[str, str], package: str, command: list[str]
) -> None:
    write(context, **files)
    assert migrations.tool_of(context, RELEASE) is None, "the package is not installed"
    install(context, package)
    tool = migrations.tool_of(context, RELEASE)
    assert tool is not None
    assert tool.name == package
    assert tool.command() == command


def test_only_files_that_can_change_the_migrations_change_the_fingerprint(context: Context) -> None:
    write(context, **{"app.py": "x = 1\n", "db/revisions/one.py": "down_revision = None\n"})
    before = migrations.fingerprint(context, RELEASE)
    write(context, **{"app.py": "x = 2\n", "README.md": "new"})
    assert migrations.fingerprint(context, RELEASE) == before
    write(context, **{"db/revisions/two.py": "down_revision = 'one'\n"})
    assert migrations.fingerprint(context, RELEASE) != before
