"""Checks of an inventory against the roles' specs: a mistake is a line with file, line and key."""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windlass import messages, process_checks, release_checks, web_checks
from windlass.specs import Options

# Names of an inventory that belong to others: Ansible's own, Molecule's, and the owner's free ones.
FREE_PREFIXES = ("ansible_", "vault_", "molecule_")

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
_PUBLIC_KEY = re.compile(r"(?:^|\s)(?:sk-)?(?:ssh|ecdsa)-[\w.@-]+\s+AAAA[A-Za-z0-9+/]*=*(?:\s|$)")
_EMAIL = re.compile(r"[^@\s'\"<>,;:\\]+@[^@\s'\"<>,;:\\]+")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_PYTHON = re.compile(r"3\.\d{1,2}(\.\d{1,2})?")
_WSGI = re.compile(r"[\w.]+:[\w.]+(\(.*\))?")
_SIZE = re.compile(r"\d+[kKmMgG]?")
_HEALTH_PATH = re.compile(r"/[\x21-\x7e]*")
_STATIC_PREFIX = re.compile(r"/[\w./~-]*")
_TEMPLATE = re.compile(r"\{\{|\{%")


@dataclass(frozen=True)
class Problem:
    """One mistake: `where` is FILE or FILE:LINE, `key` a path such as apps[0].domains."""

    where: str
    key: str
    message: str

    def __str__(self) -> str:
        """Return it as one line."""
        return f"{self.where}: {self.key}: {self.message}"


Where = Callable[[tuple[Any, ...]], str]
"""Gives FILE:LINE of a value by its path of keys."""


PLACEHOLDERS = {
    "admin_email": ("you@example.com", "write the address that is to get the system's mail"),
    "ansible_host": ("203.0.113.10", "write the address of your server"),
}


@dataclass(frozen=True)
class Variables:
    """The variables of a host: as written, rendered as far as it is needed here, and where they stand."""

    raw: dict[str, Any]
    rendered: dict[str, Any]
    where: Where
    home: Path  # the file that a missing variable belongs in
    sealed: bool = False  # read without the vault: which names are in it is not known

    def names(self) -> Iterator[str]:
        """Give the names that a role must know."""
        return (str(name) for name in self.raw if not str(name).startswith(FREE_PREFIXES))


def check(variables: Variables, options: Options, handed: Iterable[str] = ()) -> list[Problem]:
    """Return every mistake. `handed` are names that the playbooks set, which no inventory has to."""
    problems = list(_names(variables, options))
    problems += _missing(variables, options, frozenset(handed))
    shaped: list[Problem] = []
    for name, spec in options.items():
        if name in variables.raw:
            value = variables.rendered.get(name, variables.raw[name])
            shaped += _Walk(variables.where).value((name,), value, spec)
    # The meaning of a key can be checked only when its shape is right.
    return problems + (shaped or [*_placeholders(variables), *_keys(variables), *_apps(variables)])


def _placeholders(variables: Variables) -> Iterator[Problem]:
    """Refuse what inventories/example has where something of the owner's own belongs."""
    for name, (placeholder, hint) in PLACEHOLDERS.items():
        if variables.raw.get(name) == placeholder:
            yield Problem(variables.where((name,)), name, f"is the example's {placeholder}; {hint}")


def _keys(variables: Variables) -> Iterator[Problem]:
    """Refuse what lets nobody in: a placeholder, a private key, the name of a file."""
    walk = _Walk(variables.where)
    for name in ("base_admin_keys", "base_deploy_keys"):
        keys = variables.raw.get(name)
        for index, key in enumerate(keys if isinstance(keys, list) else []):
            if is_template(key):
                continue
            said = ""
            if "PRIVATE KEY" in key:
                said = "is a private key, which belongs to its owner alone"
            elif "ExampleExample" in key:
                said = "is the example's key"
            elif not _PUBLIC_KEY.search(key):
                said = "is no public SSH key"
            if said:
                yield walk.problem((name, index), f"{said}; write the line of ~/.ssh/id_ed25519.pub")


def _names(variables: Variables, options: Options) -> Iterator[Problem]:
    for name in variables.names():
        if name not in options:
            hint = messages.did_you_mean(name, options).replace("known:", "the roles know:")
            if hint.startswith("the roles"):
                hint = "a name of your own begins with vault_"
            yield Problem(variables.where((name,)), name, f"unknown; {hint}")


def _missing(variables: Variables, options: Options, handed: frozenset[str]) -> Iterator[Problem]:
    for name, spec in options.items():
        if spec.get("required") and name not in variables.raw and name not in handed:
            yield Problem(str(variables.home), name, f"missing; write {_example(name, spec)}")


def _example(name: str, spec: dict[str, Any]) -> str:
    known = {
        "admin_email": "you@example.com",
        "domains": "[www.example.com]",
        "name": "guestbook",
        "repository": "https://HOST/PATH.git",
        "base_admin_keys": '["ssh-ed25519 AAAA... you"]',
    }
    blank = {"list": "[...]", "dict": "{...}", "int": "a number"}.get(spec.get("type", "str"), "...")
    return f"`{name}: {known.get(name, blank)}`"


def key_text(path: tuple[Any, ...]) -> str:
    """Return a path of keys as text: apps[0].env.DEBUG."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


class _Walk:
    """Goes down a value along its spec."""

    def __init__(self, where: Where) -> None:
        self.where = where

    def problem(self, path: tuple[Any, ...], message: str) -> Problem:
        return Problem(self.where(path), key_text(path), message)

    def value(self, path: tuple[Any, ...], value: Any, spec: dict[str, Any]) -> Iterator[Problem]:
        if value is None:
            if spec.get("required"):
                yield self.problem(path, f"empty; write {_example(str(path[-1]), spec)}")
            elif spec.get("default") is not None:
                yield self.problem(path, f"empty; write {_kind(spec)} or delete the line")
            return
        kind = spec.get("type", "str")
        if (message := _wrong_type(value, kind)) and not is_template(value):
            yield self.problem(path, message)
            return
        if "choices" in spec and kind != "list" and value not in spec["choices"]:
            yield self.problem(path, _no_choice(value, spec["choices"]))
        if kind == "list" and isinstance(value, list):
            yield from self.elements(path, value, spec)
        elif kind == "dict" and "options" in spec and isinstance(value, dict):
            yield from self.keys(path, value, spec["options"])

    def elements(self, path: tuple[Any, ...], value: list[Any], spec: dict[str, Any]) -> Iterator[Problem]:
        inner: dict[str, Any] = {key: spec[key] for key in ("choices", "options") if key in spec}
        if spec.get("required") and not value:
            yield self.problem(path, f"empty; write {_example(str(path[-1]), spec)}")
        for index, element in enumerate(value):
            if element is None:
                yield self.problem((*path, index), "empty; write something or delete the line")
            elif "elements" in spec:
                yield from self.value((*path, index), element, {**inner, "type": spec["elements"]})

    def keys(self, path: tuple[Any, ...], value: dict[Any, Any], options: Options) -> Iterator[Problem]:
        for key in value:
            if key not in options:
                yield self.problem((*path, key), f"unknown; {messages.did_you_mean(str(key), options)}")
        for key, spec in options.items():
            if key in value:
                yield from self.value((*path, key), value[key], spec)
            elif spec.get("required"):
                yield self.problem((*path, key), f"missing; write {_example(key, spec)}")


def is_template(value: Any) -> bool:
    """Whether the value is text that Ansible will render, so that its type is not known yet."""
    return isinstance(value, str) and bool(_TEMPLATE.search(value))


def _kind(spec: dict[str, Any]) -> str:
    return _KINDS.get(spec.get("type", "str"), "a value")


_KINDS = {
    "str": "text",
    "path": "a path",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "a mapping of keys to values",
}


def _wrong_type(value: Any, kind: str) -> str:
    """Return what is wrong, or nothing. Text must be text: YAML reads 3.10 as 3.1, and `on` as true."""
    right: dict[str, Callable[[Any], bool]] = {
        "str": is_text,
        "path": is_text,
        "int": lambda v: isinstance(v, int) and not isinstance(v, bool),
        "float": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
        "bool": lambda v: isinstance(v, bool),
        "list": lambda v: isinstance(v, list),
        "dict": lambda v: isinstance(v, dict),
    }
    if kind not in right or right[kind](value):
        return ""
    if kind in ("str", "path") and isinstance(value, bool | int | float):
        return f'is {_described(value)}, not text; write it with quotes: "{_yaml(value)}"'
    hint = {
        "list": "write [one, two]",
        "dict": "write key: value lines",
        "int": "write digits without quotes",
    }
    return f"must be {_KINDS[kind]}, not {_described(value)}; {hint.get(kind, f'write {_KINDS[kind]}')}"


def is_text(value: Any) -> bool:
    """Whether a value is text; a string of the vault is, though it is of another class."""
    return isinstance(value, str) or type(value).__name__ == "EncryptedString"


def _described(value: Any) -> str:
    if isinstance(value, bool):
        return f"the boolean {_yaml(value)}"
    if isinstance(value, int | float):
        return f"the number {value}"
    return {"list": "a list", "dict": "a mapping"}.get(_class(value), "text")


def _class(value: Any) -> str:
    return "list" if isinstance(value, list) else "dict" if isinstance(value, dict) else "str"


def _yaml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _no_choice(value: Any, choices: list[Any]) -> str:
    return f"{value!s} is not known; {messages.did_you_mean(str(value), map(str, choices))}"


# What the spec cannot say about `apps`.


def _apps(variables: Variables) -> list[Problem]:
    walk = _Walk(variables.where)
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
        walk.problem(path, message)
        for path, message in (*_twice(apps), *process_checks.pairs(apps), *release_checks.pairs(apps))
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
    yield from process_checks.entry(entry)
    yield from web_checks.entry(entry)
    yield from release_checks.entry(entry, variables.raw, variables.sealed)
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
            yield (
                ("static", prefix),
                f"the URL prefix {prefix!r} must begin with a slash; write /{str(prefix).lstrip('/')}",
            )
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
                f'is a boolean, which would reach the app as text; write "{_yaml(value)}" with quotes',
            )
        elif value is None:
            yield ("env", name), 'empty; write "" or delete the line'
        elif isinstance(value, list | dict):
            yield ("env", name), f"must be text or a number, not {_described(value)}; write it in quotes"
        elif not isinstance(value, int | float) and not is_text(value):
            yield ("env", name), f'must be text or a number; write "{value}" with quotes'
        elif isinstance(value, str) and (what := release_checks.unfit(value)):
            yield ("env", name), f"holds {what}; write it without"
        elif is_template(value):
            for message in release_checks.unfit_in_vault(value, variables.raw):
                yield ("env", name), message
            for message in release_checks.not_in_vault(value, variables.raw, variables.sealed):
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
