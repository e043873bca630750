"""What the specs cannot say about the entries of `apps`."""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Iterator
from typing import Any

from windlass.validation import processes, releases, web
from windlass.validation.shapes import Walk, described, is_template, is_text, yaml_text
from windlass.validation.variables import Problem, Variables

# Users, groups and folders of /srv, /run and /var/log that Debian or a role makes.
_RESERVED = """
_apt adm admin alternatives apt audio avahi backup base bin bind btmp certbot chrony cron crontab daemon db
dbus debian default deploy dhcpcd dialout dip disk dmesg docker dovecot faillog fax floppy ftp games git
gnats gunicorn initctl input irc journal kern kmem kvm lastlog letsencrypt libuuid list localhost lock log
lost+found lp mail man messagebus messages mount mysql named netdata network news nftables nginx nobody node
nogroup ntp ntpsec opendkim operator person plugdev polkitd postdrop postfix postgres postgresql private
proxy public redis render root rpc rsyslog runit sasl sendsigs sgx shadow shm src srv ssh sshd ssl staff
statd sudo supervisor supervisord sync sys sysctl syslog system systemd systemd-journal systemd-network
systemd-resolve systemd-timesync tape template0 template1 tmp tty ubuntu udev unattended-upgrades user users
utmp uucp uuidd valkey video voice wheel windlass wtmp www www-data x509
"""
RESERVED_NAMES = frozenset(_RESERVED.split())

_APP_NAME = re.compile(r"[a-z][a-z0-9_-]{0,19}")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_EMAIL = re.compile(r"[^@\s'\"<>,;:\\]+@[^@\s'\"<>,;:\\]+")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_PYTHON = re.compile(r"3\.\d{1,2}(\.\d{1,2})?")
_WSGI = re.compile(r"[\w.]+:[\w.]+(\(.*\))?")
_SIZE = re.compile(r"\d+[kKmMgG]?")
_HEALTH_PATH = re.compile(r"/[\x21-\x7e]*")
_STATIC_PREFIX = re.compile(r"/[\w./~-]*")


def check(variables: Variables) -> list[Problem]:
    """Return every mistake of the entries, and of the address that their notices go to."""
    walk = Walk(variables.where)
    apps = variables.rendered.get("apps")
    problems: list[Problem] = []
    email = variables.rendered.get("admin_email")
    if isinstance(email, str) and not is_template(email) and not _EMAIL.fullmatch(email):
        problems.append(walk.problem(("admin_email",), f"{email!r} is no mail address; write you@example.com"))
    if not isinstance(apps, list):
        return problems
    raw = variables.raw.get("apps")
    for index, entry in enumerate(apps):
        written = raw[index] if isinstance(raw, list) and index < len(raw) else entry
        for path, message in _entry(entry, written, variables):
            problems.append(walk.problem(("apps", index, *path), message))
    problems += [
        walk.problem(path, message) for path, message in (*_twice(apps), *processes.pairs(apps), *releases.pairs(apps))
    ]
    return problems


Finding = tuple[tuple[Any, ...], str]


def _entry(entry: dict[str, Any], written: dict[str, Any], variables: Variables) -> Iterator[Finding]:
    yield from _app_name(entry["name"])
    for index, domain in enumerate(entry["domains"]):
        if message := bad_domain(domain):
            yield ("domains", index), message
    yield from _patterns(entry)
    yield from _numbers(entry)
    yield from _folders(entry)
    yield from _let_through(entry)
    yield from processes.entry(entry)
    yield from web.entry(entry)
    yield from releases.entry(entry, variables.raw, variables.sealed)
    yield from _env(written.get("env") or {}, variables)


def _app_name(name: str) -> Iterator[Finding]:
    if not _APP_NAME.fullmatch(name):
        hint = "write a lower-case letter, then up to 19 lower-case letters, digits, - and _"
        yield ("name",), f"{name!r} cannot be a unix user's name; {hint}"
    elif name in RESERVED_NAMES or name.startswith("windlass") or name.endswith(("-build", "-owner")):
        yield ("name",), f"{name} is a name that the system uses; write another, such as {name[:16]}-app"


def bad_domain(domain: str) -> str:
    """Return what is wrong with a domain name, or nothing."""
    if domain != domain.lower() and not bad_domain(domain.lower()):
        return f"{domain} has capitals; write {domain.lower()}"
    if "://" in domain or "/" in domain or ":" in domain:
        return f"{domain} is a URL or has a port; write the domain name alone"
    if not domain.isascii():
        return f"{domain} is not ASCII; write its xn-- form"
    if "*" in domain:
        return f"{domain}: wildcards are not supported; list each name"
    labels = domain.split(".")
    if len(labels) < 2 or len(domain) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        return f"{domain!r} is not a domain name; write one such as www.example.com"
    if labels[-1].isdigit():
        return f"{domain} is an address; write a domain name"
    return ""


def _patterns(entry: dict[str, Any]) -> Iterator[Finding]:
    """Check the keys whose text has a form."""
    forms = {
        "python": (_PYTHON, '"3.13"'),
        "wsgi": (_WSGI, "module:callable"),
        "max_body_size": (_SIZE, "10m"),
        "health_path": (_HEALTH_PATH, "/healthz, with the slash in front"),
    }
    for key, (form, example) in forms.items():
        value = entry.get(key)
        if value is not None and not form.fullmatch(value):
            yield (key,), f"{value!r} will not do; write {example}"
    for index, name in enumerate(entry.get("packages") or []):
        if not _PACKAGE.fullmatch(name):
            yield (
                ("packages", index),
                f"{name!r} is not the name of a Debian package; write one such as libpq-dev",
            )
    for index, name in enumerate(entry.get("pip_packages") or []):
        if name.startswith("-") or "\n" in name:
            yield ("pip_packages", index), f"{name!r} is not a package; write one such as gunicorn==23.0.0"
    for key in ("build", "wsgi", "version", "repository", "requirements", "directory"):
        if "\0" in (entry.get(key) or ""):
            yield (key,), "holds a NUL character; write it without"


def _numbers(entry: dict[str, Any]) -> Iterator[Finding]:
    for key in ("health_timeout", "stop_timeout", "request_timeout", "keep_releases"):
        if entry.get(key) is not None and entry[key] < 1:
            yield (key,), f"{entry[key]} is too small; write 1 or more"
    if not 0 <= (entry.get("upstream_keepalive") or 0) <= 1000:
        yield ("upstream_keepalive",), f"{entry['upstream_keepalive']} will not do; write 0 to 1000, such as 16"
    for key in ("lock_timeout", "keep_snapshots"):
        if entry.get(key) is not None and entry[key] < 0:
            yield (key,), f"{entry[key]} is too small; write 0 or more"


def _folders(entry: dict[str, Any]) -> Iterator[Finding]:
    """Check the keys that name a place in the repository."""
    if message := _bad_place(entry.get("directory"), root=True):
        yield ("directory",), message
    if message := _bad_requirements(entry):
        yield ("requirements",), message
    for index, place in enumerate(entry.get("shared") or []):
        if message := _bad_place(place):
            yield ("shared", index), message
    for prefix, place in (entry.get("static") or {}).items():
        if not _STATIC_PREFIX.fullmatch(str(prefix)) or ".." in str(prefix):
            meant = str(prefix).strip("/")
            yield ("static", prefix), f"the URL prefix {prefix!r} must begin with a slash; write /{meant}/"
        if message := _bad_place(place):
            yield ("static", prefix), message


def _let_through(entry: dict[str, Any]) -> Iterator[Finding]:
    """Check the addresses that maintenance mode lets through."""
    for index, address in enumerate(entry.get("maintenance_allow") or []):
        try:
            network = ipaddress.ip_network(address, strict=False)
        except ValueError:
            hint = "write one such as 203.0.113.7, 198.51.100.0/24 or 2001:db8::/64"
            yield ("maintenance_allow", index), f"{address!r} is neither an address nor a network; {hint}"
            continue
        if "/" in address and ipaddress.ip_interface(address).ip != network.network_address:
            yield ("maintenance_allow", index), f"{address} is an address in a network; write {network}"
        elif not re.fullmatch(r"[0-9A-Fa-f:.]+(/[0-9]{1,3})?", address):
            yield ("maintenance_allow", index), f"{address} is written in a way nginx cannot read; write {network}"


def _bad_requirements(entry: dict[str, Any]) -> str:
    """Return what is wrong with `requirements`, or nothing: it may lie above `directory`, in the repository."""
    place = entry.get("requirements")
    if not isinstance(place, str) or not place.startswith("../"):
        return _bad_place(place)
    if posixpath.normpath(posixpath.join(entry.get("directory") or ".", place)).startswith("../"):
        return f"{place!r} leads out of the repository; write the path from the app's folder"
    return _bad_place(place.replace("../", ""))


def _bad_place(place: Any, root: bool = False) -> str:
    """Return what is wrong with a relative path, or nothing. `root` allows `.`."""
    if place is None:
        return ""
    if not isinstance(place, str) or not place:
        return "must be a path in the repository, such as app/static"
    if place.startswith(("/", "~")):
        return f"{place} is not relative; write the path from the app's folder"
    parts = place.rstrip("/").split("/")
    if ".." in parts or "\0" in place or "\n" in place or (place.rstrip("/") in (".", "") and not root):
        return f"{place!r} leads out of the app's folder; write a path below it"
    return ""


def _env(env: Any, variables: Variables) -> Iterator[Finding]:
    """Check the settings as they are written: their values are rendered on the server's side only."""
    for name, value in env.items() if isinstance(env, dict) else ():
        if not _ENV_NAME.fullmatch(str(name)):
            yield ("env", name), f"{name!r} cannot be a variable's name; write letters, digits and _"
        elif isinstance(value, bool):
            yield (
                ("env", name),
                f'is a boolean, which would reach the app as text; write "{yaml_text(value)}" with quotes',
            )
        elif value is None:
            yield ("env", name), 'empty; write "" or delete the line'
        elif isinstance(value, list | dict):
            yield ("env", name), f"must be text or a number, not {described(value)}; write it in quotes"
        elif not isinstance(value, int | float) and not is_text(value):
            yield ("env", name), f'must be text or a number; write "{value}" with quotes'
        elif isinstance(value, str) and (what := releases.unfit(value)):
            yield ("env", name), f"holds {what}; write it without"
        elif is_template(value):
            for message in releases.unfit_in_vault(value, variables.raw):
                yield ("env", name), message
            for message in releases.not_in_vault(value, variables.raw, variables.sealed):
                yield ("env", name), message


def _twice(apps: list[dict[str, Any]]) -> Iterator[Finding]:
    """Check that no two apps share a name or a domain."""
    names: dict[str, int] = {}
    domains: dict[str, str] = {}
    for index, app in enumerate(apps):
        if app["name"] in names:
            yield (
                ("apps", index, "name"),
                f"{app['name']} is taken by apps[{names[app['name']]}]; write another",
            )
        names.setdefault(app["name"], index)
        for position, domain in enumerate(app["domains"]):
            if domain in domains:
                owner = domains[domain]
                yield (
                    ("apps", index, "domains", position),
                    f"{domain} is taken by {owner}; keep it in one place",
                )
            domains.setdefault(domain, app["name"])
