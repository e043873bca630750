"""What the templates of the roles become on a server with two apps."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import dotenv
import pytest

from tests.support import project
from tests.support.rendering import APPS, RELEASES, render

INCLUDED = {"app.conf.j2"}
WITH_MORE_ALONE = {"sasl_passwd.j2", "20-remote.conf.j2"}
TEMPLATES = [
    path
    for path in [*sorted(project.ROOT.glob("roles/*/templates/**/*.j2")), project.ROOT / "templates" / "app.env.j2"]
    if path.name not in INCLUDED
]
RELAY = {"host": "mail.example.com", "port": 587, "user": "you", "password": "a $ecret"}
MORE = {
    "postfix_relay": RELAY,
    "syslog_remote": {"host": "logs.example.com"},
    "base_automatic_reboot": "04:00",
    "postgresql_clients": ["192.0.2.7", "2001:db8::7", "198.51.100.0/24"],
    "__postgresql_made": {"stdout": '{"made": [], "ending": ".b", "changed": false}'},
}
CASES = [(path, more) for path in TEMPLATES for more in ({}, MORE) if more or path.name not in WITH_MORE_ALONE]
every_release = pytest.mark.parametrize("release", RELEASES)


def role(path: str) -> Path:
    """Return a template by role and target."""
    name, _, target = path.partition("/")
    return project.ROOT / "roles" / name / "templates" / f"{target}.j2"


def program(name: str) -> str:
    """Return a service's own checker, which `script/setup tests` installs."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    assert found, f"{name} is not installed: run script/setup tests"
    return found


def accepted(command: list[str]) -> None:
    """Fail with what a checker says, unless it accepts."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_there_are_templates_to_look_at():
    assert len(TEMPLATES) > 20


@every_release
@pytest.mark.parametrize(("template", "more"), CASES, ids=lambda value: getattr(value, "name", None))
def test_a_template_becomes_whole_text(template: Path, more: dict[str, object], release: str):
    text = render(template, release, **more)
    assert text.strip()
    assert "{{" not in text
    assert "{%" not in text
    assert not re.search(r"\bNone\b|Undefined", text)
    assert text.endswith("\n")
    assert not [line for line in text.splitlines() if line != line.rstrip()], "blanks at the end of a line"


@every_release
def test_nginx_serves_each_app_at_its_domains_with_its_certificate_and_socket(release: str):
    text = render(role("nginx/etc/nginx/nginx.conf"), release)
    assert text.count("{") == text.count("}")
    for app in APPS:
        assert text.count(f"server_name {' '.join(app['domains'])};") == 2
        sockets = ["blue", "green"] if app.get("upstream_keepalive") else ["web"]
        assert re.findall(rf"server unix:/run/{app['name']}/(\w+).sock;", text) == sockets
        assert f"ssl_certificate_key /etc/windlass/tls/{app['name']}/privkey.pem;" in text
    assert "previous/guestbook/static/" in text
    assert "client_max_body_size 50m;" in text


@every_release
def test_nginx_says_only_what_its_release_can_read(release: str):
    text = render(role("nginx/etc/nginx/nginx.conf"), release)
    assert ("http2 on;" in text) == (release == "13")
    assert ("ssl http2;" in text) == (release == "12")
    assert ("X25519MLKEM768" in text) == (release == "13")


def test_the_settings_of_an_app_come_back_the_same(tmp_path: Path):
    file = tmp_path / ".env"
    file.write_text(render(project.ROOT / "templates" / "app.env.j2", "13"))
    assert dotenv.dotenv_values(file) == {name: str(value) for name, value in APPS[0]["env"].items()}


def test_what_the_certificate_program_is_asked_is_json():
    asked = json.loads(render(role("letsencrypt/request.json"), "13"))
    assert [app["name"] for app in asked["apps"]] == [app["name"] for app in APPS]
    assert asked["apps"][0]["domains"] == APPS[0]["domains"]


@pytest.mark.parametrize("template", ["app/etc/sudoers.d/windlass", "base/etc/sudoers.d/windlass-admin"])
def test_visudo_accepts_the_rules_of_sudo(template: str, tmp_path: Path):
    file = tmp_path / "sudoers"
    file.write_text(render(role(template), "13"))
    accepted([program("visudo"), "-c", "-q", "-f", str(file)])


def test_deploy_may_run_one_program_without_arguments():
    rules = [line for line in render(role("app/etc/sudoers.d/windlass"), "13").splitlines() if not line.startswith("#")]
    assert rules == ['deploy ALL=(root) NOPASSWD: /usr/local/sbin/windlass ""']


def test_sshd_accepts_its_settings_and_lets_in_admin_and_deploy_alone(tmp_path: Path):
    # As for Debian 12, because an sshd of that age refuses the key exchanges of 13; the scenario `security` tries both.
    text = render(role("base/etc/ssh/sshd_config.d/00-windlass.conf"), "12")
    key = tmp_path / "key"
    accepted([program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", str(key)])
    file = tmp_path / "sshd_config"
    file.write_text(re.sub(r"/etc/ssh/ssh_host_\w+_key", str(key), text))
    if os.geteuid() == 0:  # sshd wants the folder of its service, which no service has made here
        Path("/run/sshd").mkdir(exist_ok=True)
    accepted([program("sshd"), "-t", "-f", str(file)])
    assert "AllowGroups admin deploy\n" in text
    assert "PermitRootLogin no\n" in text
    assert "PasswordAuthentication no\n" in text


@pytest.mark.parametrize("template", ["rsyslog", "windlass"])
def test_logrotate_accepts_its_rules(template: str, tmp_path: Path):
    file = tmp_path / template
    file.write_text(render(role(f"syslog/etc/logrotate.d/{template}"), "13"))
    file.chmod(0o644)
    accepted([program("logrotate"), "--debug", "--state", str(tmp_path / "state"), str(file)])


def test_the_firewall_drops_what_no_rule_accepts():
    text = render(role("firewall/etc/nftables.conf"), "13")
    assert text.count("{") == text.count("}")
    assert re.search(r"hook input .*policy drop;", text)
    assert re.search(r"hook forward .*policy drop;", text)


def test_the_firewall_opens_the_ports_of_a_service_on_both_versions_of_ip():
    text = render(role("firewall/etc/nftables.d/service.nft"), "13")
    assert "tcp dport { 22, 2222 } accept" in text
    assert "ip saddr { 192.0.2.1 } tcp dport { 5432 } accept" in text
    assert "ip6 saddr { 2001:db8::/64 } tcp dport { 5432 } accept" in text


def test_the_firewall_counts_new_connections_before_it_lets_them_in():
    rules = [{"port": [22], "protocol": "tcp", "new_per_minute": 60}]
    text = render(role("firewall/etc/nftables.d/service.nft"), "12", firewall_rules=rules)
    assert text.count("{") == text.count("}")
    counted, let_in = text.index("limit rate over 60/minute"), text.index("tcp dport { 22 } accept")
    assert counted < let_in


@every_release
def test_postgresql_asks_every_client_for_tls_and_a_password(release: str):
    rules = render(role("postgresql/etc/postgresql/main/pg_hba.conf"), release, **MORE).splitlines()
    rows = [line.split() for line in rules if line and not line.startswith("#")]
    assert [row[-1] for row in rows if row[0] == "local"] == ["peer", "peer"]
    outside = [row for row in rows if row[0] == "hostssl"]
    assert [row[3] for row in outside] == ["192.0.2.7/32", "2001:db8::7/128", "198.51.100.0/24"]
    logins = '"guestbook","guestbook.b","guestbook-owner","guestbook-owner.b"'
    assert {(row[1], row[2]) for row in outside} == {('"guestbook"', logins)}
    assert {row[-1] for row in rows if row[0] != "local"} == {"scram-sha-256"}
    assert {row[3] for row in rows if row[0] == "host"} == {"127.0.0.1/32", "::1/128"}


def test_postfix_hands_a_password_to_no_server_but_a_verified_one():
    text = render(role("postfix/etc/postfix/main.cf"), "13", **MORE)
    settings = dict(line.split(" = ", 1) for line in text.splitlines() if " = " in line and not line.startswith("#"))
    assert settings["inet_interfaces"] == "loopback-only"
    assert settings["relayhost"] == "[mail.example.com]:587"
    assert settings["smtp_tls_security_level"] == "secure"
    assert RELAY["password"] not in text


def test_redis_listens_to_this_host_alone_and_wants_a_password():
    text = render(role("redis/etc/redis/instance.conf"), "13")
    assert "bind 127.0.0.1 -::1\n" in text
    assert "aclfile /etc/redis/guestbook.acl\n" in text
    assert re.search(r"^port (1[6-9]|20)\d{3}$", text, re.MULTILINE)


def test_the_log_of_an_app_is_chosen_by_its_user():
    text = render(role("syslog/etc/rsyslog.d/30-apps.conf"), "13")
    for app in APPS:
        assert f"/var/log/{app['name']}/app.log" in text
