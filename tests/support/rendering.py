"""Templates as Ansible renders them on a server, without one: its own templar, the role's own defaults."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import filter_loader, init_plugin_loader
from ansible.template import Templar, trust_as_template

from tests.support import project

RELEASES = ("12", "13")
APPS: list[dict[str, Any]] = [
    {
        "name": "guestbook",
        "domains": ["guestbook.example.com", "www.guestbook.example.com"],
        "repository": "https://git.example.com/you/guestbook.git",
        "services": ["postgresql", "redis"],
        "static": {"/static/": "guestbook/static"},
        "upstream_keepalive": 8,
        "maintenance_allow": ["203.0.113.7", "198.51.100.0/24", "2001:db8::/64"],
        "env": {"SECRET_KEY": 'it\'s $a "secret"', "WORKERS": 2},
    },
    {"name": "second-app", "domains": ["second.example.com"], "repository": "../second", "max_body_size": "50m"},
]
# What the playbooks and the owner hand to the roles.
HANDED: dict[str, Any] = {
    "apps": APPS,
    "admin_email": "you@example.com",
    "base_admin_keys": ["ssh-ed25519 AAAA you@laptop"],
    "firewall_service": "ssh",
    "firewall_rules": [
        {"port": [22, 2222], "protocol": "tcp"},
        {"port": [5432], "from": ["192.0.2.1", "2001:db8::/64"]},
    ],
    "letsencrypt_email": "you@example.com",
    "postfix_admin_email": "you@example.com",
    "postfix_local_users": ["guestbook", "second-app"],
    "postgresql_apps": ["guestbook"],
    "redis_apps": ["guestbook"],
    "syslog_apps": ["guestbook", "second-app"],
    "inventory_dir": str(project.ROOT / "inventories" / "example"),
    "ansible_check_mode": False,
    "item": "guestbook",
    "app": APPS[0],
    "env": APPS[0]["env"],
}


@cache
def loader() -> DataLoader:
    """Make our filters known, once."""
    init_plugin_loader()
    filter_loader.add_directory(str(project.ROOT / "plugins" / "filter"))
    return DataLoader()


def trusted(value: Any) -> Any:
    """Mark text as ours, so that Ansible renders the templates in it."""
    if isinstance(value, dict):
        return {key: trusted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [trusted(item) for item in value]
    return trust_as_template(value) if isinstance(value, str) else value


def facts(release: str) -> dict[str, Any]:
    """Return what Ansible finds out about a server of a Debian release."""
    users = {app["name"]: ["x", str(number), str(number)] for number, app in enumerate(APPS, 990)}
    return {
        "distribution": "Debian",
        "distribution_major_version": release,
        "memtotal_mb": 2048,
        "swaptotal_mb": 0,
        "mounts": [{"mount": "/", "fstype": "ext4"}],
        "getent_passwd": users,
    }


def variables(role: Path | None, release: str, **more: Any) -> dict[str, Any]:
    """Return what a role's templates see on a server of a Debian release."""
    found: dict[str, Any] = {}
    if role:
        found = trusted(project.defaults(role)) | {"role_path": str(role)} | trusted(project.variables(role))
    return found | HANDED | {"ansible_facts": facts(release)} | more


def evaluate(expression: str, role: Path, **more: Any) -> Any:
    """Return what an expression of a role's tasks becomes on a server."""
    return Templar(loader=loader(), variables=variables(role, "13", **more)).template(trust_as_template(expression))


def render(template: Path, release: str, **more: Any) -> str:
    """Return what a template becomes on a server of a Debian release."""
    role = next((parent for parent in template.parents if parent.parent.name == "roles"), None)
    found = variables(role, release, **more) | {"__template": str(template)}
    lookup = trust_as_template("{{ lookup('ansible.builtin.template', __template) }}")
    return str(Templar(loader=loader(), variables=found).template(lookup))
