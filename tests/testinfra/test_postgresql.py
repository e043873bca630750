"""PostgreSQL, as the apps meet it: their own database with no password, and nobody else's."""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import playbook

Host = Any
# One statement of each kind that a runtime role has no business with.
CHANGES = [
    "CREATE TABLE intruder (n int)",
    "ALTER TABLE windlass_probe ADD COLUMN m int",
    "DROP TABLE windlass_probe",
    "TRUNCATE windlass_probe",
    "CREATE INDEX ON windlass_probe (n)",
    "CREATE TRIGGER t BEFORE INSERT ON windlass_probe EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE SCHEMA intruder",
    "CREATE EXTENSION citext",
    "ALTER SCHEMA public RENAME TO intruder",
]
REFUSED = ("permission denied", "must be owner")
ROWS = (
    "INSERT INTO windlass_probe (n) VALUES (6); UPDATE windlass_probe SET n = n * 7; SELECT n FROM windlass_probe;"
    "DELETE FROM windlass_probe"
)


@pytest.fixture
def apps(host: Host) -> list[str]:
    """Return the names of the apps that have a database."""
    entries = host.ansible.get_variables()["apps"]
    return [entry["name"] for entry in entries if "postgresql" in entry.get("services", [])]


@pytest.fixture
def owned(host: Host) -> list[str]:
    """Return the names of those whose schema has an owner of its own."""
    entries = [entry for entry in host.ansible.get_variables()["apps"] if "postgresql" in entry.get("services", [])]
    return [entry["name"] for entry in entries if entry.get("database_roles") != "one"]


@pytest.fixture
def table(host: Host, owned: list[str]) -> Iterator[str]:
    """Return an app in whose database a table is, made as a migration makes one."""
    app = owned[-1]
    owner_sql(host, app, "CREATE TABLE windlass_probe (id serial PRIMARY KEY, n int)")
    yield app
    owner_sql(host, app, "DROP TABLE windlass_probe")


def owner_sql(host: Host, app: str, sql: str) -> str:
    """Run SQL that must succeed as the owner of an app's schema."""
    result = psql(host, f"{app}-owner", app, sql)
    assert result.rc == 0, result.stderr
    return str(result.stdout.strip())


def psql(host: Host, user: str, database: str, sql: str, *options: str) -> Any:
    """Run SQL over the socket as a unix user."""
    command = "cd / && runuser -u %s -- psql -XAt -v ON_ERROR_STOP=1 " + " ".join(options) + " -d %s -c %s"
    return host.run(command, user, database, sql)


def test_who_migrates_owns_the_schema_and_needs_no_password(host: Host, apps: list[str], owned: list[str]) -> None:
    assert owned and owned != apps
    for app in apps:
        user = f"{app}-owner" if app in owned else app
        result = psql(host, user, app, "CREATE TABLE windlass_probe (n int); DROP TABLE windlass_probe; SELECT 42")
        assert result.rc == 0, result.stderr
        assert "42" in result.stdout


def test_an_app_reads_and_writes_the_rows_of_tables_that_it_does_not_own(host: Host, table: str) -> None:
    result = psql(host, table, table, ROWS)
    assert result.rc == 0, result.stderr
    assert "42" in result.stdout


@pytest.mark.parametrize("change", CHANGES, ids=lambda sql: " ".join(sql.split()[:2]))
def test_an_app_cannot_change_its_schema(host: Host, table: str, change: str) -> None:
    result = psql(host, table, table, change)
    assert result.rc != 0, result.stdout
    assert any(words in result.stderr for words in REFUSED), result.stderr
    # The very same statement, where that can be, shows that it is the role which is refused.
    assert owner_sql(host, table, f"BEGIN; {change}; ROLLBACK; SELECT 1").endswith("1")


def test_an_app_uses_what_a_migration_makes_later(host: Host, owned: list[str]) -> None:
    app = owned[0]
    made = "CREATE SCHEMA later; CREATE TABLE later.things (id serial, t citext);"
    made += "CREATE VIEW later.seen AS SELECT * FROM later.things"
    function = "CREATE FUNCTION later.f() RETURNS int LANGUAGE sql AS 'SELECT 42'"
    owner_sql(host, app, f"CREATE EXTENSION citext; {made}; {function}")
    try:
        result = psql(
            host, app, app, "INSERT INTO later.things (t) VALUES ('A'); SELECT later.f() FROM later.seen WHERE t = 'a'"
        )
        assert result.rc == 0, result.stderr
        assert "42" in result.stdout
    finally:
        owner_sql(host, app, "DROP SCHEMA later CASCADE; DROP EXTENSION citext")


def test_an_app_cannot_become_the_owner(host: Host, owned: list[str]) -> None:
    app = owned[0]
    for sql, options in ((f'SET ROLE "{app}-owner"', ()), ("SELECT 1", ("-U", f"{app}-owner"))):
        result = psql(host, app, app, sql, *options)
        assert result.rc != 0
        assert "permission denied" in result.stderr or "authentication failed" in result.stderr, result.stderr


def test_an_app_enters_no_database_but_its_own(host: Host, apps: list[str]) -> None:
    for app in apps:
        for other in {*apps, "postgres", "template1"} - {app}:
            result = psql(host, app, other, "SELECT 1")
            assert result.rc != 0
            assert "permission denied for database" in result.stderr, result.stderr


def test_an_app_cannot_pass_for_another(host: Host, apps: list[str]) -> None:
    for other in ["postgres", *apps[1:2]]:
        result = psql(host, apps[0], other, "SELECT 1", "-U", other)
        assert result.rc != 0
        assert "authentication failed" in result.stderr, result.stderr


def test_an_app_has_no_power_over_the_server(host: Host, apps: list[str]) -> None:
    for app in apps:
        for sql in ["CREATE DATABASE windlass_probe", "CREATE ROLE windlass_probe", "COPY (SELECT 1) TO '/tmp/x'"]:
            result = psql(host, app, app, sql)
            assert result.rc != 0, sql
            assert "permission denied" in result.stderr or "must be superuser" in result.stderr, result.stderr


def test_nobody_gets_in_by_tcp_without_a_password(host: Host, apps: list[str]) -> None:
    result = psql(host, apps[0], apps[0], "SELECT 1", "-w", "-h", "127.0.0.1")
    assert result.rc != 0
    assert "password" in result.stderr, result.stderr


def test_the_server_listens_on_loopback_alone(host: Host) -> None:
    listening = host.check_output("ss -Hltn 'sport = :5432' | awk '{print $4}'").split()
    assert listening
    assert set(listening) <= {"127.0.0.1:5432", "[::1]:5432"}


def test_damage_on_disk_is_noticed(host: Host) -> None:
    assert psql(host, "postgres", "postgres", "SHOW data_checksums").stdout.strip() == "on"


def test_text_is_utf8_whatever_the_locale_of_the_server(host: Host, apps: list[str]) -> None:
    for app in apps:
        assert psql(host, app, app, "SHOW server_encoding").stdout.strip() == "UTF8"


def test_the_server_is_sized_to_the_machine(host: Host) -> None:
    memory = int(host.check_output("awk '/^MemTotal/ {print $2}' /proc/meminfo")) * 1024
    buffers = "SELECT setting::bigint * 8192 FROM pg_settings WHERE name = 'shared_buffers'"
    assert 0.1 < int(psql(host, "postgres", "postgres", buffers).stdout) / memory < 0.3 or memory < 2**28
    waiting = "SELECT name FROM pg_settings WHERE pending_restart"
    assert psql(host, "postgres", "postgres", waiting).stdout.strip() == ""


def test_a_slow_statement_is_logged_without_the_values_that_are_bound_to_it(host: Host, owned: list[str]) -> None:
    text = "SELECT pg_sleep(1.2), length($1) AS slow_one"
    # PREPARE would hold the value itself in its text; psql binds one from version 16 on.
    if "\\bind" not in host.check_output("psql --help=commands"):
        pytest.skip("this psql binds no values")
    given = f"{text} \\bind canary-4711 \\g\n"
    result = host.run("cd / && printf %%s %s | runuser -u %s -- psql -XAt -d %s", given, owned[0], owned[0])
    assert "11" in result.stdout, result.stderr
    log = host.check_output("cat /var/log/postgresql/*-main.log")
    assert re.search(r"duration: 1\d\d\d\.\d+ ms .*pg_sleep.*slow_one", log), log[-2000:]
    assert "canary-4711" not in log


def converge(**variables: object) -> str:
    """Run the playbook of the databases with other variables, and return what it printed."""
    inventory = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "inventory"
    more = ("--tags", "postgresql", "-e", json.dumps(variables))
    return playbook.succeed(inventory, *more, playbook="playbooks/database.yml")


def entries_with(roles: str) -> list[dict[str, object]]:
    """Return the entries of the inventory, the app of one role with this many."""
    main = Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "inventory/group_vars/all/main.yml"
    entries: list[dict[str, object]] = yaml.safe_load(main.read_text())["apps"]
    return [entry | {"database_roles": roles} if entry["name"] == "single" else entry for entry in entries]


@contextlib.contextmanager
def reading(host: Host, app: str) -> Iterator[None]:
    """Have an app write and read in a loop, and check that no turn failed and that there were some."""
    turn = "psql -XAtq -v ON_ERROR_STOP=1 -d {app} -c 'INSERT INTO kept (n) VALUES (1)' -c 'SELECT count(*) FROM kept'"
    turn = turn.replace("{app}", app)
    loop = f"while :; do {turn} || echo failed; done"
    unit = "--unit windlass-reading --collect --property WorkingDirectory=/"
    host.check_output(f"systemd-run --quiet {unit} --uid %s -- sh -c %s", app, loop)
    try:
        yield
    finally:
        host.run("systemctl stop windlass-reading")
    said = host.check_output("journalctl --unit windlass-reading --output cat --no-pager | grep -v systemd")
    assert len(said.splitlines()) > 5, said
    assert "failed" not in said and "ERROR" not in said, said[-500:]


def test_a_database_of_one_role_is_carried_over_while_it_is_used(host: Host) -> None:
    made = "CREATE TABLE kept (id serial PRIMARY KEY, n int); CREATE SCHEMA s; CREATE TABLE s.t (n int);"
    made += "CREATE EXTENSION citext"
    assert psql(host, "single", "single", made).rc == 0
    try:
        with reading(host, "single"):
            assert "changed=1 " in converge(apps=entries_with("two"))
        assert "changed=0 " in converge(apps=entries_with("two"))
        owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname IN ('public', 's')"
        assert psql(host, "single", "single", owners).stdout.strip() == "single-owner"
        assert psql(host, "single", "single", "INSERT INTO s.t VALUES (1)").rc == 0
        assert "must be owner" in psql(host, "single", "single", "DROP TABLE kept").stderr
    finally:
        assert "changed=1 " in converge(apps=entries_with("one"))
        assert "changed=0 " in converge(apps=entries_with("one"))
    undone = psql(host, "single", "single", "DROP SCHEMA s CASCADE; DROP TABLE kept; DROP EXTENSION citext")
    assert undone.rc == 0, undone.stderr


@pytest.fixture(scope="module")
def over_the_network(host: Host) -> Iterator[str]:
    """Return the server's address while it takes connections there, as if another machine ran the apps."""
    address = str(host.ansible.get_variables()["ansible_host"])
    converge(postgresql_clients=[address])
    assert "changed=0 " in converge(postgresql_clients=[address])
    yield address
    converge()


def connect(host: Host, address: str, user: str, database: str, options: str) -> Any:
    """Ask over the network, with the role's own password."""
    secret = f"/var/lib/postgresql/windlass/{user}"
    words = f"host={address} dbname={database} user={user} {options}"
    return host.run(
        'PGPASSWORD="$(cat %s)" psql -XAt -w -d %s -c %s',
        secret,
        words,
        "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
    )


def test_the_network_is_met_with_tls_a_known_certificate_and_scram(host: Host, over_the_network: str) -> None:
    known = "sslmode=verify-full sslrootcert=/var/lib/postgresql/windlass/ca.pem"
    for user in ("guestbook", "guestbook-owner"):
        met = connect(host, over_the_network, user, "guestbook", known)
        assert met.stdout.strip() == "TLSv1.3", met.stderr
        plain = connect(host, over_the_network, user, "guestbook", "sslmode=disable")
        assert plain.rc != 0 and "no encryption" in plain.stderr, plain.stderr
    other = connect(host, over_the_network, "guestbook", "second-app", known)
    assert other.rc != 0 and "no pg_hba.conf entry" in other.stderr, other.stderr
    wrong = connect(
        host,
        over_the_network,
        "guestbook",
        "guestbook",
        "sslmode=verify-full sslrootcert=/etc/ssl/certs/ca-certificates.crt",
    )
    assert wrong.rc != 0 and "certificate verify failed" in wrong.stderr, wrong.stderr


def test_no_password_is_in_the_servers_log_and_none_but_its_verifier_in_the_database(
    host: Host, over_the_network: str
) -> None:
    secrets = host.check_output(
        "cd /var/lib/postgresql/windlass && cat guestbook guestbook-owner second-app single"
    ).split()
    assert len(set(secrets)) == 4 and all(len(secret) == 64 for secret in secrets)
    log = host.check_output("cat /var/log/postgresql/*-main.log; journalctl --no-pager --output cat")
    assert log
    assert not [secret for secret in secrets if secret in log]
    assert "SCRAM-SHA-256$4096:" not in log
    kept = psql(
        host,
        "postgres",
        "postgres",
        "SELECT rolname, left(rolpassword, 14) FROM pg_authid WHERE rolpassword IS NOT NULL",
    ).stdout
    assert set(kept.split()) == {
        f"{role}|SCRAM-SHA-256$"
        for role in ("guestbook", "guestbook-owner", "second-app", "second-app-owner", "single")
    }
    modes = host.check_output("cd /var/lib/postgresql/windlass && stat --format '%U %a' . *.key guestbook*")
    assert set(modes.splitlines()) <= {"postgres 700", "postgres 600"}, modes
