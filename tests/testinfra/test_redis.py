"""Redis, as the apps meet it: one of their own, which asks for a password and keeps what it was given."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.playbook import play

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


def test_redis_itself_writes_nothing_where_root_keeps_its_configuration(host: Host, apps: list[str]) -> None:
    """Root reads the passwords there and hands them over: they have to be root's own."""
    host.check_output("DEBIAN_FRONTEND=noninteractive dpkg-reconfigure redis-tools")  # as an update does
    assert host.check_output("stat -c '%U:%G %a' /etc/redis") == "root:redis 750"
    assert host.run("runuser -u redis -- touch /etc/redis/anything").rc != 0
    for app in apps:
        assert host.run("runuser -u redis -- ln -sf /etc/shadow /etc/redis/%s.password", app).rc != 0
        assert (
            host.check_output("stat -c '%%F %%U:%%G %%a' /etc/redis/%s.password", app) == "regular file root:root 600"
        )


@pytest.mark.skipif(
    os.environ.get("MOLECULE_SCENARIO_NAME", "redis") != "redis", reason="an app would notice that its password changes"
)
def test_what_redis_put_in_the_place_of_a_password_is_no_password(host: Host, inventory: Path, apps: list[str]) -> None:
    """As on a server whose folder was still Redis's own."""
    host.check_output("dpkg-statoverride --remove /etc/redis && chown redis:redis /etc/redis && chmod 2770 /etc/redis")
    kept = host.check_output("cat /etc/redis/%s.password", apps[1])
    host.check_output("runuser -u redis -- ln -sf /etc/shadow /etc/redis/%s.password", apps[0])
    done = play(inventory, playbook="molecule/redis/converge.yml")
    assert done.returncode == 0, done.stdout[-3000:]
    assert len(host.check_output("cat /etc/redis/%s.password", apps[0])) == 64
    assert host.check_output("cat /etc/redis/%s.password", apps[1]) == kept
    for app in apps:
        assert redis(host, app, app, "PING") == "PONG"


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
