"""A database whose one role owned everything is carried over to two, and back, on a real PostgreSQL."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import Cluster, cluster
from windlass.server.database import ownership

APP = "my-app"
OWNER = "my-app-owner"
MADE = """
CREATE TABLE note (id serial PRIMARY KEY, text text);
CREATE SCHEMA extra; CREATE TABLE extra.thing (n int GENERATED ALWAYS AS IDENTITY);
CREATE VIEW seen AS SELECT * FROM note; CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM note;
CREATE TYPE mood AS ENUM ('good'); CREATE EXTENSION citext;
CREATE FUNCTION answer() RETURNS int LANGUAGE sql AS 'SELECT 42'; REVOKE EXECUTE ON FUNCTION answer FROM PUBLIC;
SELECT lo_create(4242);
"""
USED = """
INSERT INTO note (text) VALUES ('a'); UPDATE seen SET text = 'b'; SELECT * FROM counted; SELECT answer();
INSERT INTO extra.thing DEFAULT VALUES; DELETE FROM extra.thing; SELECT lo_put(4242, 0, 'x');
CREATE TEMPORARY TABLE t ();
"""
OWNED = """
SELECT count(*) FROM pg_shdepend s, pg_roles r
 WHERE s.refobjid = r.oid AND rolname = '{role}' AND deptype = 'o' AND classid <> 'pg_largeobject'::regclass
   AND classid <> 'pg_default_acl'::regclass
"""
TWO = ownership.script(APP, OWNER)
ONE = ownership.script(APP, APP)
SHOWN = ownership.script(APP, OWNER, ";")


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


@pytest.fixture
def postgres(server: Cluster) -> Iterator[Cluster]:
    """Return a server with the database as it was before there were two roles, and the second role."""
    server.sql(f'CREATE ROLE "{APP}" LOGIN; CREATE ROLE "{OWNER}" LOGIN; CREATE DATABASE "{APP}" OWNER "{APP}"')
    server.sql(MADE, APP, APP)
    yield server
    server.drop(APP)


def refusal(postgres: Cluster, text: str, user: str = APP) -> str:
    """Return what the database says against a statement; nothing when it does as told."""
    try:
        postgres.sql(text, APP, user)
    except AssertionError as error:
        return str(error)
    return ""


def test_everything_changes_hands_and_the_app_goes_on_using_it(postgres: Cluster) -> None:
    postgres.sql(TWO, APP)
    assert postgres.sql(OWNED.format(role=APP), APP) == ["0"]
    assert int(postgres.sql(OWNED.format(role=OWNER), APP)[0]) > 8
    assert refusal(postgres, USED) == ""
    for change in ("CREATE TABLE q ()", "DROP TABLE note", "ALTER TABLE note ADD n int", "TRUNCATE note"):
        assert "permission denied" in (said := refusal(postgres, change)) or "must be owner" in said, change
    assert (
        refusal(postgres, "CREATE TABLE later (id serial); DROP EXTENSION citext; DROP SCHEMA extra CASCADE", OWNER)
        == ""
    )
    assert refusal(postgres, "INSERT INTO later DEFAULT VALUES; DELETE FROM later") == ""


def test_a_second_time_there_is_nothing_to_do_whatever_the_app_stores(postgres: Cluster) -> None:
    postgres.sql(TWO, APP)
    postgres.sql("SELECT lo_create(77)", APP, APP)
    held = postgres.popen("CREATE TEMPORARY TABLE t (n serial); COMMIT; SELECT pg_sleep(600)", APP, APP)
    try:
        there = "SELECT 1 FROM pg_class WHERE relpersistence = 't' LIMIT 1"
        end = time.monotonic() + 20
        while postgres.sql(there, APP) != ["1"]:
            assert time.monotonic() < end
        assert postgres.sql(SHOWN, APP) == []
    finally:
        held.kill()
    postgres.sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE '%(600)'")


def test_what_a_migration_took_from_the_app_is_not_given_back(postgres: Cluster) -> None:
    postgres.sql(TWO, APP)
    postgres.sql(f'REVOKE UPDATE, DELETE ON note FROM "{APP}"', APP, OWNER)
    postgres.sql(TWO, APP)
    assert "permission denied" in refusal(postgres, "DELETE FROM note")


def test_a_preview_says_what_would_be_done_and_does_nothing(postgres: Cluster) -> None:
    [line] = postgres.sql(SHOWN, APP)
    assert f'REASSIGN OWNED BY "{APP}" TO "{OWNER}"' in line
    assert refusal(postgres, "ALTER TABLE note ADD n int") == ""


def test_a_query_that_goes_on_is_waited_for_shortly_and_nothing_is_left_half_done(postgres: Cluster) -> None:
    holder = postgres.popen("BEGIN; SELECT * FROM note; SELECT pg_sleep(600)", APP, APP)
    try:
        end = time.monotonic() + 20
        while postgres.sql(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%(600)' AND pid <> pg_backend_pid()"
        ) == ["0"]:
            assert time.monotonic() < end
        with pytest.raises(AssertionError, match="lock timeout"):
            postgres.sql(f"SET lock_timeout = '200ms';\n{TWO}", APP)
        assert postgres.sql(OWNED.format(role=OWNER), APP) == ["0"]
    finally:
        holder.kill()
    postgres.sql("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE '%(600)'")
    postgres.sql(TWO, APP)
    assert postgres.sql(OWNED.format(role=APP), APP) == ["0"]


def test_one_role_takes_everything_back(postgres: Cluster) -> None:
    postgres.sql(TWO, APP)
    postgres.sql("CREATE TABLE later ()", APP, OWNER)
    postgres.sql(ONE, APP)
    assert postgres.sql(OWNED.format(role=OWNER), APP) == ["0"]
    assert refusal(postgres, "DROP TABLE later; ALTER TABLE note ADD n int; DROP EXTENSION citext") == ""
    assert postgres.sql(ownership.script(APP, APP, ";"), APP) == []


def passwords(folder: Path, *arguments: str) -> Any:
    """Run the script that a database server runs, as its own unix user would."""
    command = [sys.executable, "-I", "roles/postgresql/files/passwords.py", str(folder), *arguments]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_the_verifier_that_is_made_of_a_password_lets_it_in(
    postgres: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("secrets")
    passwords(folder, "make", "1", APP)
    # PostgreSQL's own: what it keeps of a password that is written so is that, and no hash of it.
    kept = (folder / f"{APP}.scram").read_text().strip()
    postgres.sql(f"ALTER ROLE \"{APP}\" PASSWORD '{kept}'")
    assert postgres.sql("SELECT rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL") == [kept]
