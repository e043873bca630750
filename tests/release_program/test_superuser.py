"""What the owner of a schema leaves in its database for the superuser to run, on a real PostgreSQL: it never does."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator

import pytest
from conftest import Server, make_server
from databases import FIRST, SECOND, alembic_app

from tests.support.cluster import Cluster, cluster
from windlass.server.database import ownership, snapshots
from windlass.server.database.contents import Entry
from windlass.server.database.postgresql import BUILT_IN_NAMES

OWNER = "demo-owner"
POWER = "SELECT rolsuper FROM pg_roles WHERE rolname = 'demo-owner'"
# Takes what it can get, and says nothing where that is nothing.
TRAP = f"""
CREATE SCHEMA evil;
CREATE FUNCTION evil.spring() RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE 'ALTER ROLE "{OWNER}" SUPERUSER'; RETURN true;
EXCEPTION WHEN insufficient_privilege THEN RETURN true;
END $$;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
"""
SIZE = "CREATE FUNCTION public.pg_table_size(oid) RETURNS bigint LANGUAGE sql AS 'SELECT evil.spring()::int::bigint';"
NAMES = """
CREATE FUNCTION evil.pg_get_userbyid(oid) RETURNS name LANGUAGE plpgsql AS $$
BEGIN PERFORM evil.spring(); RETURN pg_catalog.pg_get_userbyid($1); END $$;
ALTER DATABASE demo SET search_path = evil, public, pg_catalog;
"""
CHECK = """
ALTER TABLE note ADD CHECK (evil.spring());
CREATE FUNCTION evil.fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM evil.spring(); RETURN NEW; END $$;
CREATE TRIGGER fire BEFORE INSERT ON note FOR EACH ROW EXECUTE FUNCTION evil.fire();
CREATE FUNCTION evil.still(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT CASE WHEN evil.spring() THEN $1 END';
CREATE INDEX still ON note (evil.still(id));
"""
VIEW = """
ALTER TABLE alembic_version RENAME TO versions;
CREATE VIEW alembic_version AS SELECT version_num FROM versions WHERE evil.spring();
"""
# A list that is stored as it was written: two names, with no space in them.
LIST = """
SELECT set_config('search_path', 'public,x;ALTER/**/ROLE/**/"demo-owner"/**/SUPERUSER', false);
ALTER DATABASE demo SET search_path FROM CURRENT;
"""
# What there is, and the rights in an order that does not depend on who was given them first.
LOOKS = [
    "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid > 16384 ORDER BY 1",
    "SELECT indexdef FROM pg_indexes WHERE schemaname IN ('public', 'tools') ORDER BY 1",
    "SELECT schemaname, sequencename, last_value, sequenceowner FROM pg_sequences ORDER BY 1, 2",
    "SELECT relname, relnamespace::regnamespace, relowner::regrole,"
    " array(SELECT a::text FROM unnest(relacl) a ORDER BY 1)"
    " FROM pg_class c JOIN pg_namespace n "
    "ON n.oid = relnamespace WHERE nspname IN ('public', 'tools') ORDER BY 1, 2",
    "SELECT nspname, nspowner::regrole, array(SELECT a::text FROM unnest(nspacl) a ORDER BY 1)"
    " FROM pg_namespace WHERE nspname !~ '^pg_' ORDER BY 1",
    "SELECT extname, extowner::regrole, extnamespace::regnamespace, obj_description(oid) FROM pg_extension ORDER BY 1",
    "SELECT proname, array(SELECT a::text FROM unnest(proacl) a ORDER BY 1)"
    " FROM pg_proc WHERE proname = 'pg_stat_statements_reset'",
    "SELECT lomowner::regrole FROM pg_largeobject_metadata",
    "SELECT defaclrole::regrole, defaclobjtype, array(SELECT a::text FROM unnest(defaclacl) a ORDER BY 1)"
    " FROM pg_default_acl ORDER BY 1, 2",
    "SELECT datdba::regrole, array(SELECT a::text FROM unnest(datacl) a ORDER BY 1)"
    " FROM pg_database WHERE datname = 'demo'",
    "SELECT * FROM note; SELECT * FROM tools.word; SELECT * FROM seen; SELECT lo_get(4242)",
]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


@pytest.fixture
def app(package_cache: object, supervisord: Callable[..., object], postgres: Cluster) -> Iterator[Server]:
    server = make_server(package_cache)  # type: ignore[arg-type]
    supervisord(server)
    postgres.create("demo")
    server.configure(services=["postgresql"], health_timeout=20)
    server.set_env(DATABASE_URL=postgres.url("demo", "demo"))
    server.deploy(alembic_app("one", FIRST)).data  # noqa: B018
    postgres.sql(TRAP, "demo", OWNER)
    yield server
    postgres.drop("demo")


def as_superuser(postgres: Cluster, text: str, database: str = "demo", options: str = BUILT_IN_NAMES) -> str:
    """Run SQL as the superuser, with what a client asks for; return what it printed."""
    words = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", str(postgres.folder), "-U", "postgres", "-d", database]
    env = os.environ | {"PGOPTIONS": options}
    return subprocess.run(words, input=text, env=env, capture_output=True, text=True, check=True).stdout


def has_power(postgres: Cluster) -> bool:
    """Say whether the owner became a superuser, and take it away again."""
    found = postgres.sql(POWER)
    postgres.sql(f'ALTER ROLE "{OWNER}" NOSUPERUSER')
    return found == ["t"]


def restore(app: Server) -> dict[str, str]:
    return app.ask("rollback", restore_snapshot=True, confirmed=True).data


def test_a_deploy_that_copies_the_database_runs_no_function_of_its_owner(app: Server, postgres: Cluster) -> None:
    postgres.sql(SIZE + NAMES, "demo", OWNER)
    assert "snapshot done" in app.deploy(alembic_app("two", FIRST, SECOND)).phases()
    assert not has_power(postgres)
    as_superuser(postgres, "SELECT coalesce(sum(pg_table_size(relid)), 0) FROM pg_stat_user_tables", options="")
    assert has_power(postgres), "the trap is none"
    as_superuser(postgres, snapshots.SIZE)
    assert not has_power(postgres)


def test_who_owns_what_is_found_out_without_a_function_of_the_owner(app: Server, postgres: Cluster) -> None:
    postgres.sql(NAMES, "demo", OWNER)
    script = ownership.script("demo", OWNER, ";")
    for entered in (script, f'\\connect "demo"\n{script}'):
        start = "demo" if entered is script else "postgres"
        as_superuser(postgres, entered, start, "")
        assert has_power(postgres), "the trap is none"
        as_superuser(postgres, entered, start)
        assert not has_power(postgres)


def test_a_restore_runs_what_is_in_the_schema_with_the_rights_of_its_owner(app: Server, postgres: Cluster) -> None:
    postgres.sql(CHECK + VIEW, "demo", OWNER)
    postgres.sql("INSERT INTO note (text) VALUES ('kept')", "demo", "demo")
    second = app.deploy(alembic_app("two", FIRST, SECOND)).data["release"]
    assert not has_power(postgres)
    postgres.sql(LIST, "demo", OWNER)
    kept = restore(app)["kept_database"]
    assert not has_power(postgres)
    assert postgres.sql("SELECT text FROM note", "demo", "demo") == ["kept"]
    assert postgres.sql("SHOW search_path", "demo") == ['public, "x;alter/**/role/**/""demo-owner""/**/superuser"']
    written = "SELECT setconfig[1] FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase WHERE datname = "
    [value] = postgres.sql(f"{written} '{kept}'")
    as_superuser(postgres, f"ALTER DATABASE {kept} SET search_path TO {value.partition('=')[2]}")
    assert has_power(postgres), "the trap is none"
    dump = app.paths.snapshots / f"{second}.dump"
    words = ["pg_restore", "-h", str(postgres.folder), "-U", "postgres", "-d", "demo_old", "--exit-on-error", str(dump)]
    postgres.sql("CREATE DATABASE demo_old")
    subprocess.run(words, check=True)
    assert has_power(postgres), "the trap is none"
    as_superuser(postgres, "SELECT version_num FROM public.alembic_version", "demo_old")
    assert has_power(postgres), "the trap is none"


def test_a_restore_that_the_schema_refuses_says_why_in_a_line_and_leaves_the_live_database(
    app: Server, postgres: Cluster
) -> None:
    postgres.sql(
        "CREATE FUNCTION evil.no() RETURNS bool LANGUAGE plpgsql AS "
        "$$ BEGIN IF current_database() <> 'demo' THEN ALTER ROLE \"demo-owner\" SUPERUSER; END IF; "
        "RETURN true; END $$;"
        "ALTER TABLE note ADD CHECK (evil.no());",
        "demo",
        OWNER,
    )
    postgres.sql("INSERT INTO note (text) VALUES ('secret')", "demo", "demo")
    app.deploy(alembic_app("two", FIRST, SECOND)).data  # noqa: B018
    error = app.ask("rollback", restore_snapshot=True, confirmed=True).error
    assert error["code"] == "restore-failed"
    assert "must be superuser" in error["message"] or "permission denied" in error["message"]
    assert "\n" not in error["message"] and "secret" not in error["message"]
    assert not has_power(postgres)
    assert app.get() == (200, "two")
    assert postgres.names("demo") == ["demo"]
    assert postgres.sql("SELECT text FROM note", "demo", "demo") == ["secret"]


def test_a_restore_brings_everything_back_also_what_only_the_superuser_makes(app: Server, postgres: Cluster) -> None:
    postgres.sql("CREATE SCHEMA tools; CREATE EXTENSION citext; COMMENT ON EXTENSION citext IS 'ours'", "demo", OWNER)
    postgres.sql(
        "CREATE EXTENSION pg_stat_statements SCHEMA tools; CREATE EXTENSION earthdistance CASCADE;"
        'GRANT EXECUTE ON FUNCTION tools.pg_stat_statements_reset TO "demo"',
        "demo",
    )
    postgres.sql(
        "CREATE TABLE tools.word (word citext UNIQUE, n int CHECK (n > 0)); CREATE INDEX ON note (lower(text));"
        'REVOKE DELETE ON note FROM "demo"; CREATE VIEW seen AS SELECT * FROM note;'
        "INSERT INTO tools.word VALUES ('a', 1)",
        "demo",
        OWNER,
    )
    postgres.sql("INSERT INTO note (text) VALUES ('a'), ('b'); SELECT lo_from_bytea(4242, 'x')", "demo", "demo")
    before = [postgres.sql(look, "demo") for look in LOOKS]
    assert all(before)
    app.deploy(alembic_app("two", FIRST, SECOND)).data  # noqa: B018
    restore(app)
    for look, rows in zip(LOOKS, before, strict=True):
        assert postgres.sql(look, "demo") == rows, look
    postgres.sql("INSERT INTO note (text) VALUES ('c')", "demo", "demo")
    postgres.sql("DROP EXTENSION citext CASCADE", "demo", OWNER)
    with pytest.raises(AssertionError, match="permission denied"):
        postgres.sql("DELETE FROM note", "demo", "demo")


@pytest.mark.parametrize(
    ("line", "owner", "extension", "part"),
    [
        ("2; 3079 16386 EXTENSION - citext ", "", "citext", []),
        ("3391; 0 0 COMMENT - EXTENSION citext ", "", "citext", []),
        ('3391; 0 0 COMMENT - EXTENSION "uuid-ossp" ', "", "uuid-ossp", []),
        ("3391; 0 0 COMMENT public TABLE note demo-owner", "demo-owner", "", []),
        ("9; 0 7 TABLE DATA gis spatial_ref_sys postgres", "postgres", "", ["gis", "spatial_ref_sys"]),
        ("9; 0 0 SEQUENCE SET public note_id_seq demo", "demo", "", ["public", "note_id_seq"]),
        ("9; 0 0 ACL public FUNCTION reset(userid oid, dbid oid) postgres", "postgres", "", ["public", "reset"]),
        ("9; 0 0 ACL public TABLE note demo-owner", "demo-owner", "", ["public", "note"]),
        ("9; 2613 4242 BLOB METADATA - 4242..4243 demo", "demo", "", []),
    ],
)
def test_a_line_of_a_table_of_contents_is_understood(line: str, owner: str, extension: str, part: list[str]) -> None:
    entry = Entry(line)
    assert (entry.owner, entry.extension, entry.part) == (owner, extension, part)
