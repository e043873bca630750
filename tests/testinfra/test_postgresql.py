"""PostgreSQL, as the apps meet it: their own database with no password, and nobody else's."""

from __future__ import annotations

from typing import Any

import pytest

Host = Any


@pytest.fixture
def apps(host: Host) -> list[str]:
    """Return the names of the apps that have a database."""
    entries = host.ansible.get_variables()["apps"]
    return [entry["name"] for entry in entries if "postgresql" in entry.get("services", [])]


def psql(host: Host, user: str, database: str, sql: str, *options: str) -> Any:
    """Run SQL over the socket as a unix user."""
    command = "cd / && runuser -u %s -- psql -XAt -v ON_ERROR_STOP=1 " + " ".join(options) + " -d %s -c %s"
    return host.run(command, user, database, sql)


def test_an_app_owns_its_database_and_needs_no_password(host: Host, apps: list[str]) -> None:
    assert apps
    for app in apps:
        result = psql(host, app, app, "CREATE TABLE windlass_probe (n int); DROP TABLE windlass_probe; SELECT 42")
        assert result.rc == 0, result.stderr
        assert "42" in result.stdout


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
            assert result.rc != 0
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
