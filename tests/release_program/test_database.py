"""Releases with migrations, on a real PostgreSQL: what is recorded, copied, and left when something fails."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Server, make_server
from databases import ENTRY, FIRST, MOOD, SECOND, SHOUT, THIRD, alembic_app, django_app

from tests.support.cluster import Cluster, cluster
from windlass.server.database import ownership

WAYS = [{"downgrade": True}, {"restore_snapshot": True, "confirmed": True}]
END_HOLDERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%(600)' AND pid <> pg_backend_pid()"
)


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


def test_a_migration_runs_as_the_owner_and_the_app_as_a_role_that_changes_nothing(
    app: Server, postgres: Cluster
) -> None:
    told = ("0002", "0001", "op.execute('ALTER TABLE note ADD COLUMN by text DEFAULT current_user')", "pass")
    app.deploy(alembic_app("one", FIRST)).data  # noqa: B018
    app.deploy(alembic_app("two", FIRST, told)).data  # noqa: B018
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    assert postgres.sql(owners, "demo") == ["demo-owner"]
    assert postgres.sql(
        "INSERT INTO note (text) VALUES ('x'); SELECT version_num FROM alembic_version", "demo", "demo"
    ) == ["0002"]
    with pytest.raises(AssertionError, match="must be owner"):
        postgres.sql("DROP TABLE note", "demo", "demo")
    url = "import os; print(os.environ['DATABASE_URL'])"
    shown = app.ask("run", command=f'python -c "{url}"')
    assert "user=demo\n" in f"{shown.output()}\n"


def test_a_release_command_that_takes_itself_for_the_app_is_told_of_the_two_roles(
    app: Server, postgres: Cluster
) -> None:
    files = alembic_app("one", FIRST)
    files["migrations/env.py"] = files["migrations/env.py"].replace(
        'os.environ["DATABASE_URL"]', repr(postgres.url("demo", "demo"))
    )
    error = app.deploy(files).error
    assert error["code"] == "release-failed"
    assert "permission denied for schema public" in error["message"]
    assert "database_roles: one" in error["hint"]
    app.configure(database_roles="one")
    postgres.sql(ownership.script("demo", "demo"), "demo")
    assert app.deploy(files).ok


def test_a_copy_from_before_there_were_two_roles_is_restored_into_both(app: Server, postgres: Cluster) -> None:
    app.configure(database_roles="one")
    postgres.sql(ownership.script("demo", "demo"), "demo")
    app.deploy(alembic_app("one", FIRST)).data  # noqa: B018
    app.deploy(alembic_app("two", FIRST, SECOND)).data  # noqa: B018
    app.configure(database_roles="two")
    postgres.sql(ownership.script("demo", "demo-owner"), "demo")
    assert app.ask("rollback", restore_snapshot=True, confirmed=True).ok
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    assert postgres.sql(owners, "demo") == ["demo-owner"]
    assert postgres.sql("INSERT INTO note (text) VALUES ('x') RETURNING text", "demo", "demo") == ["x"]
    assert app.deploy(alembic_app("three", FIRST, SECOND)).ok


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
    app.wait_for(lambda: app.states()["demo-worker"] == "RUNNING")
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


def test_a_downgrade_that_nobody_wrote_is_refused_with_everything_as_it_was(app: Server, postgres: Cluster) -> None:
    app.deploy(alembic_app("two", FIRST, SECOND)).data  # noqa: B018
    app.deploy(alembic_app("three", FIRST, SECOND, THIRD)).data  # noqa: B018
    error = app.ask("rollback", downgrade=True).error
    assert error["code"] == "downgrade-impossible"
    assert "0003" in error["message"]
    assert "--restore-snapshot" in error["hint"]
    assert postgres.sql("SELECT version_num FROM alembic_version", "demo") == ["0003"]
    assert app.get() == (200, "three")
    app.wait_for(lambda: app.states()["demo-worker"] == "RUNNING")


def test_a_downgrade_that_fails_half_way_is_undone(app: Server, postgres: Cluster) -> None:
    broken = ("0002", "0001", SECOND[2], "op.execute('SELECT 1 / 0')")
    app.deploy(alembic_app("one", FIRST)).data  # noqa: B018
    app.deploy(alembic_app("two", FIRST, broken)).data  # noqa: B018
    error = app.ask("rollback", downgrade=True).error
    assert error["code"] == "downgrade-failed"
    assert "division by zero" in error["message"]
    assert postgres.sql("SELECT version_num FROM alembic_version", "demo") == ["0002"]
    assert app.get() == (200, "two")
    app.wait_for(lambda: app.states()["demo-worker"] == "RUNNING")
    assert not app.paths.maintenance.exists()


@pytest.mark.parametrize(
    "way", [{"downgrade": True}, {"restore_snapshot": True, "confirmed": True}], ids=lambda w: next(iter(w))
)
def test_an_older_release_that_does_not_start_leaves_the_newer_one_with_its_database(
    app: Server, postgres: Cluster, way: dict[str, bool]
) -> None:
    first = app.deploy(alembic_app("one", FIRST)).data["release"]
    app.deploy(alembic_app("two", FIRST, SECOND)).data  # noqa: B018
    postgres.sql("INSERT INTO note (text) VALUES ('after')", "demo", "demo")
    (app.paths.releases / first / "demo.py").write_text("import nothing_such\n")
    assert app.ask("rollback", **way).error["phase"] == "probe"
    assert app.get() == (200, "two")
    assert postgres.sql("SELECT version_num FROM alembic_version", "demo") == ["0002"]
    assert postgres.sql("SELECT text FROM note", "demo") == ["after"]
    assert postgres.names("demo") == ["demo"]
    app.wait_for(lambda: app.states()["demo-worker"] == "RUNNING")
    assert not app.paths.maintenance.exists()


def test_a_database_that_somebody_migrated_by_hand_is_said_and_refused(app: Server, postgres: Cluster) -> None:
    app.deploy(alembic_app("one", FIRST)).data  # noqa: B018
    app.deploy(alembic_app("same", FIRST)).data  # noqa: B018
    postgres.sql("UPDATE alembic_version SET version_num = '0007'", "demo")
    error = app.ask("rollback").error
    assert error["code"] == "migrations-differ"
    assert "0007" in error["message"] and "by hand" in error["message"]
    assert app.get() == (200, "same")
    postgres.sql("UPDATE alembic_version SET version_num = '0001'", "demo")
    assert app.ask("rollback").ok


def test_a_release_without_a_recorded_head_is_judged_by_its_code(app: Server, postgres: Cluster) -> None:
    app.deploy(alembic_app("one", FIRST)).data  # noqa: B018
    app.deploy(alembic_app("same", FIRST)).data  # noqa: B018
    app.deploy(alembic_app("two", FIRST, SECOND)).data  # noqa: B018
    log = app.paths.state / "releases.jsonl"
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    known = ("head", "schema", "migrations")
    lines = [{key: value for key, value in entry.items() if key not in known} for entry in entries]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    error = app.ask("rollback").error
    assert error["code"] == "migrations-differ"
    assert "0001" in error["message"] and "0002" in error["message"]
    assert app.ask("rollback", downgrade=True).ok
    again = app.ask("rollback")
    assert again.ok, again.error
    assert app.get() == (200, "one")


def test_a_migration_that_raises_leaves_the_database_and_the_old_release(app: Server, postgres: Cluster) -> None:
    app.deploy(alembic_app("one", FIRST)).data  # noqa: B018
    raising = ("0002", "0001", f"{SECOND[2]}; op.execute('SELECT 1 / 0')", "pass")
    reply = app.deploy(alembic_app("two", FIRST, raising))
    assert reply.error["code"] == "release-failed"
    assert "division by zero" in reply.error["message"]
    assert postgres.sql("SELECT version_num FROM alembic_version", "demo") == ["0001"]
    assert postgres.sql("SELECT count(*) FROM information_schema.columns WHERE table_name = 'note'", "demo") == ["2"]
    assert app.get() == (200, "one")
    assert app.deploy(alembic_app("three", FIRST)).ok


def test_a_migration_that_waits_for_a_lock_gives_up_and_names_who_holds_it(
    app: Server, postgres: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.configure(lock_timeout=1)
    app.deploy(alembic_app("one", FIRST)).data  # noqa: B018
    holder = postgres.popen("BEGIN; SELECT * FROM note WHERE text = 'secret'; SELECT pg_sleep(600)", "demo")
    try:
        reply = app.deploy(alembic_app("two", FIRST, SECOND))
    finally:
        holder.kill()
    assert reply.error["code"] == "lock-timeout"
    assert "pg_sleep(?)" in reply.error["message"] and "user postgres" in reply.error["message"]
    assert "secret" not in reply.error["message"]
    assert "pg_terminate_backend(" in reply.error["hint"]
    assert sum("tried again" in str(event.get("message")) for event in reply.events) == 4
    assert app.get() == (200, "one")
    postgres.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%600%' AND pid <> pg_backend_pid()"
    )
    assert app.deploy(alembic_app("three", FIRST, SECOND)).ok


def test_a_copy_that_cannot_be_made_stops_the_deploy_with_nothing_changed(app: Server, postgres: Cluster) -> None:
    app.deploy(alembic_app("one", FIRST)).data  # noqa: B018
    (app.paths.snapshots / ".left.dump.new").write_text("cut off")
    app.paths.snapshots.rename(app.paths.snapshots.with_name("elsewhere"))
    app.paths.snapshots.write_text("in the way")
    reply = app.deploy(alembic_app("two", FIRST, SECOND))
    assert reply.error["code"] == "snapshot-failed"
    assert "keep_snapshots: 0" in reply.error["hint"]
    assert postgres.sql("SELECT version_num FROM alembic_version", "demo") == ["0001"]
    app.paths.snapshots.unlink()
    app.paths.snapshots.with_name("elsewhere").rename(app.paths.snapshots)
    assert app.deploy(alembic_app("three", FIRST, SECOND)).ok
    assert not list(app.paths.snapshots.glob(".*"))


def test_django_goes_back_app_by_app(app: Server, postgres: Cluster) -> None:
    first = app.deploy(django_app("one", ENTRY))
    same = app.deploy(django_app("same", ENTRY))
    assert "snapshot skipped" in same.phases()
    second = app.deploy(django_app("two", ENTRY, MOOD))
    assert "snapshot done" in second.phases()
    heads = {item["release"]: item["head"] for item in app.releases()}
    assert "diary.0001_step" in heads[first.data["release"]]
    assert heads[first.data["release"]] == heads[same.data["release"]]
    assert "diary.0002_step" in heads[second.data["release"]]
    error = app.ask("rollback").error
    assert error["message"].count("diary.000") == 2
    postgres.sql("INSERT INTO diary_entry (text, mood) VALUES ('kept', 'good')", "demo", "demo")
    assert app.ask("rollback", downgrade=True).ok
    assert postgres.sql("SELECT * FROM diary_entry", "demo") == ["1|kept"]
    assert app.get() == (200, "same")
    app.deploy(django_app("three", ENTRY, MOOD, SHOUT)).data  # noqa: B018
    stuck = app.ask("rollback", downgrade=True).error
    assert stuck["code"] == "downgrade-impossible"
    assert "diary.0003_step" in stuck["message"]
    assert app.ask("rollback", restore_snapshot=True, confirmed=True).ok
    assert app.get() == (200, "same")
