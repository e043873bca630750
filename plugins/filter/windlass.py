"""What the roles' templates need beyond one ``if`` or ``for``."""

from __future__ import annotations

import ipaddress
import re
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError

ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def dotenv(value: Any, name: str) -> str:
    """Return the value of a setting as python-dotenv's single quotes hold it.

    Raises AnsibleFilterError for what would not come back the same. It names the setting, never the value.
    """
    if not NAME.fullmatch(name):
        raise AnsibleFilterError(f"env: {name!r} cannot be the name of an environment variable")
    if isinstance(value, bool):
        raise AnsibleFilterError(f"env: {name} is true or false; quote it: programs write that in many ways")
    if not isinstance(value, str | int | float):
        raise AnsibleFilterError(f"env: {name} must be text or a number, not a {type(value).__name__}")
    text = str(value)
    if "\0" in text or "\r" in text:
        what = "a NUL character" if "\0" in text else "a carriage return"
        raise AnsibleFilterError(f"env: {name} holds {what}, which does not survive in a settings file")
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def app_env(app: dict[str, Any], urls: dict[str, str]) -> dict[str, Any]:
    """Return the app's settings, with the URLs (by variable) that it does not set itself."""
    return {**urls, **(app.get("env") or {})}


def app_settings(app: dict[str, Any], spec: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Return an entry of ``apps`` as the release program reads it: complete, without its secrets."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    from windlass import entry

    return entry.told(app, spec["argument_specs"]["main"]["options"]["apps"]["options"]) | more


def without_secrets(apps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the entries of ``apps`` without what may hold a secret."""
    return [{name: value for name, value in app.items() if name not in ("env", "notify")} for app in apps]


def app_deploy_keys(apps: list[dict[str, Any]]) -> list[str]:
    """Return the lines of ``authorized_keys`` for the pipelines of the apps: no shell, no forwarding, one command."""
    line = 'restrict,command="sudo -n /usr/local/sbin/windlass deploy-only {}" {}'
    return [line.format(app["name"], key.strip()) for app in apps for key in app.get("deploy_keys") or []]


def app_notify(app: dict[str, Any]) -> dict[str, Any]:
    """Return where the notices of an app go, or nothing; mail leaves through the server's own mail server."""
    notify = {name: value for name, value in (app.get("notify") or {}).items() if value}
    return {**notify, "smtp": ["127.0.0.1", 25]} if notify else {}


def app_schedules(apps: list[dict[str, Any]], mail: str, led_elsewhere: list[str]) -> dict[str, Any]:
    """Return what the apps run at which times on this server, and whom to tell of a failure.

    Raises AnsibleFilterError for a schedule that cannot be.
    """
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    from windlass import schedule

    plan: dict[str, list[dict[str, Any]]] = {}
    for app in apps:
        for job in (app.get("cron") or []) if app["name"] not in led_elsewhere else []:
            try:
                calendar = schedule.calendar(job["schedule"])
            except schedule.ScheduleError as error:
                raise AnsibleFilterError(f"cron: {app['name']}: {job['name']}: {error}") from error
            wanted = {"name": job["name"], "command": job["command"], "timeout": job.get("timeout") or 3600}
            plan.setdefault(app["name"], []).append(wanted | {"calendar": calendar})
    return {"mail": [mail], "smtp": ["127.0.0.1", 25], "apps": plan}


def app_owned(apps: list[dict[str, Any]]) -> list[str]:
    """Return the names of the apps whose schema belongs to a role of its own, which no process that serves has."""
    return [
        app["name"]
        for app in apps
        if "postgresql" in (app.get("services") or []) and (app.get("database_roles") or "two") == "two"
    ]


def app_owner_urls(urls: dict[str, str], apps: list[dict[str, Any]]) -> dict[str, str]:
    """Return the owners' URLs that are wanted: who says itself where its database is has its own roles there."""
    own = {app["name"] for app in apps if "DATABASE_URL" in (app.get("env") or {})}
    return {name: url for name, url in urls.items() if name in app_owned(apps) and name not in own}


def database_urls(logins: dict[str, tuple[str, str]], host: str, authority: str) -> dict[str, str]:
    """Return the URL by which each role (with its login and password) reaches its database from another host."""
    options = f"sslmode=verify-full&sslrootcert={authority}"
    return {
        role: f"postgresql://{login}:{password}@{host}:5432/{role.removesuffix('-owner')}?{options}"
        for role, (login, password) in logins.items()
    }


def database_ownership(app: str, owner: str, go: str) -> str:
    """Return the SQL that gives everything in an app's database to its owner, and the app its rights."""
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    from windlass.server.database import ownership

    return ownership.script(app, owner, go)


def locked_requirement(lock: str, name: str) -> str:
    """Return a package of a ``uv.lock`` as a line of a requirements file, with the hashes of its wheels."""
    package = next(package for package in tomllib.loads(lock)["package"] if package["name"] == name)
    hashes = [f"--hash={wheel['hash']}" for wheel in package["wheels"]]
    return " ".join([f"{name}=={package['version']}", *hashes])


def firewall_sources(rule: dict[str, Any]) -> list[str]:
    """Return nftables matches for where a packet may come from: one per IP version, or one for all."""
    sources = rule.get("from")
    if not sources:
        return [""]
    matches = []
    for version, family in ((4, "ip"), (6, "ip6")):
        networks = [net for net in sources if ipaddress.ip_network(net, strict=False).version == version]
        if networks:
            matches.append(f"{family} saddr {{ {', '.join(networks)} }} ")
    return matches


class FilterModule:
    """The filters, by name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return what Ansible registers."""
        return {
            "app_deploy_keys": app_deploy_keys,
            "app_env": app_env,
            "app_notify": app_notify,
            "app_owned": app_owned,
            "app_owner_urls": app_owner_urls,
            "app_schedules": app_schedules,
            "app_settings": app_settings,
            "database_ownership": database_ownership,
            "database_urls": database_urls,
            "dotenv": dotenv,
            "firewall_sources": firewall_sources,
            "locked_requirement": locked_requirement,
            "without_secrets": without_secrets,
        }
