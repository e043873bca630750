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
    server.configure(services=["postgresql"])
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
