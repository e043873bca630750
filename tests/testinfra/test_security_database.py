"""What somebody who has taken over the app can do with the database, and what a stranger in the network can."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from testinfra.host import Host

from tests.support import playbook
from tests.support.repository import Repository
from tests.support.server import Server

APP = "guestbook"
OWNER = "guestbook-owner"
SCHEMA_CHANGES = [
    "create table intruder (n int)",
    "alter table message add column n int",
    "drop table message",
    "truncate message",
    "create schema intruder",
    "create extension citext",
    "create function f() returns int language sql as 'select 1'",
]
ELSEWHERE = ["postgres", "template1"]


def psql(server: Server, user: str, sql: str, database: str = APP) -> tuple[int, str]:
    """Run SQL over the socket as a unix user; return how it ended and what it said."""
    done = server.try_run(f'cd / && runuser -u {user} -- psql -XAtq -v ON_ERROR_STOP=1 -d {database} -c "{sql}" 2>&1')
    return done.returncode, done.stdout.strip()


def test_what_migrations_made_belongs_to_the_owner_and_what_serves_is_the_app(released: Repository, server: Server):
    assert server.sql("select distinct tableowner from pg_tables where schemaname = 'public'") == OWNER
    assert "message" in server.sql("select string_agg(tablename, ' ') from pg_tables where schemaname = 'public'")
    users = server.run(f"ps -o user:32= -p $(pgrep -d, -f '[g]unicorn.*/run/{APP}/') | sort -u")
    assert users.split() == [APP]
    sessions = server.sql(
        "select distinct usename from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    )
    assert set(sessions.split()) == {APP}


@pytest.mark.parametrize("change", SCHEMA_CHANGES, ids=lambda sql: " ".join(sql.split()[:2]))
def test_who_has_taken_over_the_app_cannot_change_the_schema(released: Repository, server: Server, change: str):
    status, said = psql(server, APP, change)
    assert status != 0
    assert "permission denied" in said or "must be owner" in said, said
    # The owner is let: it is the role that was refused, and not the statement.
    assert psql(server, OWNER, f"begin; {change}; rollback")[0] == 0


def test_the_app_reads_and_writes_rows_and_reads_its_head(released: Repository, server: Server):
    changes = [
        "insert into message (author, text, created_at) values ('a', 'b', now())",
        "update message set author = 'c'",
        "delete from message",
    ]
    rows = "; ".join(changes)
    status, said = psql(server, APP, f"begin; {rows}; rollback; table alembic_version")
    assert status == 0 and said, said


@pytest.mark.parametrize("database", ELSEWHERE)
@pytest.mark.parametrize("user", [APP, OWNER])
def test_no_role_of_an_app_enters_another_database(released: Repository, server: Server, user: str, database: str):
    status, said = psql(server, user, "select 1", database)
    assert status != 0
    assert "permission denied for database" in said, said


def test_who_has_taken_over_the_app_becomes_no_other_role(released: Repository, server: Server):
    for words in (f'-c "set role \\"{OWNER}\\""', f"-U {OWNER} -c 'select 1'", "-U postgres -c 'select 1'"):
        done = server.try_run(f"cd / && runuser -u {APP} -- psql -XAtq -d {APP} {words} 2>&1")
        assert done.returncode != 0
        assert "permission denied" in done.stdout or "authentication failed" in done.stdout, done.stdout
    powers = ("rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls")
    roles = server.sql(f"select rolname from pg_roles where rolcanlogin and ({' or '.join(powers)})")  # noqa: S608
    assert roles == "postgres"


def test_an_owner_that_has_been_taken_over_gets_no_more_from_the_playbook(
    released: Repository, server: Server, inventory: Path
):
    trap = [
        "create schema evil",
        "create function evil.pg_get_userbyid(oid) returns name language sql as "
        f"'alter role \\\"{OWNER}\\\" superuser; select pg_catalog.pg_get_userbyid(\\$1)'",
        f"alter database {APP} set search_path = evil, public, pg_catalog",
    ]
    power = f"select rolsuper from pg_catalog.pg_roles where rolname = '{OWNER}'"  # noqa: S608
    try:
        assert psql(server, OWNER, "; ".join(trap))[0] == 0
        playbook.succeed(inventory, "--tags", "postgresql")
        assert server.sql(power) == "f"
        server.sql("select pg_get_userbyid(datdba) from pg_database where datname = current_database()")
        assert server.sql(power) == "t", "the trap is none"
    finally:
        server.sql(f'alter role "{OWNER}" nosuperuser')
        server.sql(f"alter database {APP} reset search_path")
        server.sql("drop schema evil cascade")


def test_what_runs_as_the_app_cannot_look_into_a_migration(released: Repository, server: Server):
    started = f"CANARY=x runuser -u {OWNER} -- sleep 60 & sleep 1; pid=$(pgrep -u {OWNER} sleep)"
    look = "runuser -u USER -- head -c 1 /proc/$pid/$file >/dev/null 2>&1 && echo $file"
    looked = f"for file in environ mem maps; do {look}; done"

    def seen(user: str) -> list[str]:
        return server.run(f"{started}; {looked.replace('USER', user)}; kill $pid").split()

    assert "environ" in seen(OWNER), "nothing was looked at"
    assert seen(APP) == []


def test_the_database_trusts_nobody_and_takes_no_password_in_the_clear(released: Repository, server: Server):
    rules = json.loads(server.sql("select json_agg(r) from pg_hba_file_rules r", "postgres"))
    assert rules and not [rule for rule in rules if rule["error"]]
    assert {rule["auth_method"] for rule in rules if rule["type"] == "local"} == {"peer"}
    assert {rule["auth_method"] for rule in rules if rule["type"] != "local"} == {"scram-sha-256"}
    assert {rule["address"] for rule in rules if rule["type"] == "host"} <= {"127.0.0.1", "::1"}
    assert server.sql("show password_encryption") == "scram-sha-256"
    assert (
        server.sql(
            "select count(*) from pg_authid where rolpassword is not null and rolpassword not like 'SCRAM-SHA-256$%'"
        )
        == "0"
    )
    settings = "log_min_duration_statement log_lock_waits log_parameter_max_length log_parameter_max_length_on_error"
    assert [server.sql(f"show {name}") for name in settings.split()] == ["1s", "on", "0", "0"]


def test_a_stranger_finds_no_database(scanner: Host, server: Server):
    assert server.run("ss -Hltn sport = :5432"), "PostgreSQL does not run: nothing was tried"
    found = scanner.check_output(f"nmap -n -Pn -p 22,5432 {server.address}")
    assert "22/tcp   open" in found
    assert "5432/tcp filtered" in found
