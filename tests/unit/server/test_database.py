"""Releases with migrations, on a real PostgreSQL: what is recorded, copied, and left when something fails."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Server, make_server
from databases import FIRST, SECOND, alembic_app

from tests.support.cluster import Cluster, cluster


@pytest.fixture(scope="module")
def postgres() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


@pytest.fixture
def app(package_cache: Path, supervisord: Callable[..., object], postgres: Cluster) -> Iterator[Server]:
    server = make_server(package_cache)
    supervisord(server)
    postgres.create("demo")
    server.configure(services=["postgresql"], health_timeout=20)
    server.set_env(DATABASE_URL=postgres.url("demo", "demo"))
    yield server
    postgres.drop("demo")


def test_the_head_is_recorded_and_a_copy_is_taken_only_where_migrations_are_pending(
    app: Server, postgres: Cluster
) -> None:
    first = app.deploy(alembic_app("one", FIRST))
    assert "snapshot done" in first.phases()
    postgres.sql("INSERT INTO note (text) VALUES ('kept')", "demo", "demo")
    same = app.deploy(alembic_app("same", FIRST))
    assert "snapshot skipped" in same.phases()
    second = app.deploy(alembic_app("two", FIRST, SECOND))
    assert "snapshot done" in second.phases()
    listed = {item["release"]: item for item in app.releases()}
    assert [listed[reply.data["release"]]["head"] for reply in (first, same, second)] == [["0001"], ["0001"], ["0002"]]
    assert {item["migrations"] for item in listed.values()} == {"alembic"}
    assert "snapshot" not in listed[same.data["release"]]
    dumps = sorted(app.paths.snapshots.iterdir())
    assert [path.stem for path in dumps] == [first.data["release"], second.data["release"]]
    assert {stat.S_IMODE(path.stat().st_mode) for path in dumps} == {0o600}
    assert listed[second.data["release"]]["snapshot"]["bytes"] == dumps[1].stat().st_size


def test_a_rollback_over_a_migration_is_refused_with_both_heads_and_the_two_ways_on(
    app: Server, postgres: Cluster
) -> None:
    app.deploy(alembic_app("one", FIRST)).data  # noqa: B018
    app.deploy(alembic_app("two", FIRST, SECOND)).data  # noqa: B018
    error = app.ask("rollback").error
    assert error["code"] == "migrations-differ"
    assert "0001" in error["message"] and "0002" in error["message"]
    assert "--downgrade" in error["hint"] and "--restore-snapshot" in error["hint"]
    assert app.get() == (200, "two")
    assert postgres.sql("SELECT version_num FROM alembic_version", "demo") == ["0002"]


def test_a_downgrade_undoes_the_migration_from_the_newer_release(app: Server, postgres: Cluster) -> None:
    first = app.deploy(alembic_app("one", FIRST)).data["release"]
    postgres.sql("INSERT INTO note (text) VALUES ('before')", "demo", "demo")
    second = app.deploy(alembic_app("two", FIRST, SECOND)).data["release"]
    postgres.sql("INSERT INTO note (text, author) VALUES ('after', 'ann')", "demo", "demo")
    reply = app.ask("rollback", downgrade=True)
    assert reply.data["release"] == first
    assert app.get() == (200, "one")
    assert postgres.sql("SELECT version_num FROM alembic_version", "demo") == ["0001"]
    assert postgres.sql("SELECT text FROM note ORDER BY id", "demo") == ["before", "after"]
    assert (app.paths.snapshots / f"{second}-left.dump").exists()
    assert not app.paths.maintenance.exists()
    assert app.states()["demo-worker"] == "RUNNING"
    assert app.deploy(alembic_app("three", FIRST, SECOND)).ok


def test_a_copy_is_restored_beside_the_live_database_which_is_kept(app: Server, postgres: Cluster) -> None:
    app.deploy(alembic_app("one", FIRST)).data  # noqa: B018
    postgres.sql("INSERT INTO note (text) VALUES ('before')", "demo", "demo")
    postgres.sql("ALTER DATABASE demo SET search_path TO app, public; ALTER DATABASE demo CONNECTION LIMIT 40")
    app.deploy(alembic_app("two", FIRST, SECOND)).data  # noqa: B018
    postgres.sql("INSERT INTO note (text, author) VALUES ('after', 'ann')", "demo", "demo")
    rights = "SELECT datacl, datconnlimit, datdba FROM pg_database WHERE datname = 'demo'"
    owners = "SELECT tablename, tableowner FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
    before = postgres.sql(rights), postgres.sql(owners, "demo"), postgres.sql("SHOW search_path", "demo")
    asked = app.ask("rollback", restore_snapshot=True).error
    assert asked["code"] == "confirm-restore"
    assert "seconds since" in asked["message"] and "note 1 new" in asked["message"]
    assert app.get() == (200, "two")
    reply = app.ask("rollback", restore_snapshot=True, confirmed=True)
    kept = reply.data["kept_database"]
    assert app.get() == (200, "one")
    assert postgres.sql("SELECT text FROM note", "demo") == ["before"]
    assert postgres.sql("SELECT text FROM note ORDER BY id", kept) == ["before", "after"]
    assert before == (postgres.sql(rights), postgres.sql(owners, "demo"), postgres.sql("SHOW search_path", "demo"))
    assert postgres.names("demo") == ["demo", kept]
    assert app.deploy(alembic_app("three", FIRST, SECOND)).ok
