"""Redis, as the apps meet it: one of their own, which asks for a password and keeps what it was given."""

from __future__ import annotations

from typing import Any

import pytest

Host = Any


@pytest.fixture
def apps(host: Host) -> list[str]:
    """Return the names of the apps that have a Redis."""
    entries = host.ansible.get_variables()["apps"]
    names = [entry["name"] for entry in entries if "redis" in entry.get("services", [])]
    if not names:
        pytest.skip("no app of this inventory asks for Redis")
    return names


def port(host: Host, app: str) -> str:
    """Return the port of an app's instance, as its process has it."""
    pid = host.check_output("systemctl show --value -p MainPID redis-server@%s", app)
    sockets = host.check_output("ss -Hltnp | grep %s", f"pid={pid},").split("\n")
    return sockets[0].split()[3].rsplit(":", 1)[1]


def redis(host: Host, password_of: str, app: str, command: str) -> str:
    """Send a command to an app's instance with the password of an app."""
    line = f"REDISCLI_AUTH=$(cat /etc/redis/{password_of}.password) redis-cli -p {port(host, app)} {command} 2>&1"
    return host.run(line).stdout.strip()


def test_an_app_stores_and_reads(host: Host, apps: list[str]) -> None:
    for app in apps:
        assert redis(host, app, app, "SET windlass-probe 42 EX 60") == "OK"
        assert redis(host, app, app, "GET windlass-probe") == "42"
        redis(host, app, app, "DEL windlass-probe")


def test_nobody_gets_in_without_the_password(host: Host, apps: list[str]) -> None:
    for app in apps:
        assert "NOAUTH" in host.run(f"redis-cli -p {port(host, app)} PING 2>&1").stdout


def test_the_password_of_one_app_does_not_open_another(host: Host, apps: list[str]) -> None:
    for app in apps:
        for other in set(apps) - {app}:
            assert "WRONGPASS" in redis(host, app, other, "PING")


def test_an_app_cannot_read_the_passwords(host: Host, apps: list[str]) -> None:
    for app in apps:
        for suffix in ["password", "acl"]:
            assert host.run("runuser -u nobody -- cat /etc/redis/%s.%s", app, suffix).rc != 0
        assert host.check_output("cat /etc/redis/%s.password", app) not in host.check_output("ps -eo args")


def test_every_instance_listens_on_loopback_alone(host: Host, apps: list[str]) -> None:
    listening = host.check_output("ss -Hltnp | grep redis-server | awk '{print $4}'").split()
    assert {address.rsplit(":", 1)[0] for address in listening} <= {"127.0.0.1", "[::1]"}
    assert not [address for address in listening if address.endswith(":6379")]


def test_what_is_stored_survives_a_restart(host: Host, apps: list[str]) -> None:
    app = apps[0]
    redis(host, app, app, "SET windlass-probe kept EX 300")
    host.check_output("systemctl restart redis-server@%s", app)
    assert redis(host, app, app, "GET windlass-probe") == "kept"
    redis(host, app, app, "DEL windlass-probe")


def test_a_full_instance_refuses_rather_than_forgets(host: Host, apps: list[str]) -> None:
    for app in apps:
        assert redis(host, app, app, "CONFIG GET maxmemory-policy").split() == ["maxmemory-policy", "noeviction"]
        assert int(redis(host, app, app, "CONFIG GET maxmemory").split()[1]) >= 64 * 2**20
