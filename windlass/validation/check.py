"""Every mistake of a host's variables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import partial

from windlass import messages
from windlass.specs import Options
from windlass.validation import apps, connection_variables, shapes
from windlass.validation.shapes import Walk
from windlass.validation.variables import Problem, Variables

_SYSCTL_NAME = re.compile(r"[a-z][\w*-]*([./][\w*-]+)+")
_SYSCTL_VALUE = re.compile(r"[\w.,|/%@ \t+:-]+")
_PUBLIC_KEY = re.compile(r"(?:^|\s)(?:sk-)?(?:ssh|ecdsa)-[\w.@-]+\s+AAAA[A-Za-z0-9+/]*=*(?:\s|$)")
PLACEHOLDERS = {
    "admin_email": ("you@example.com", "write the address that is to get the system's mail"),
    "ansible_host": ("203.0.113.10", "write the address of your server"),
}


def check(variables: Variables, options: Options, handed: Iterable[str] = ()) -> list[Problem]:
    """Return every mistake. `handed` are names that the playbooks set, which no inventory has to."""
    problems = [*_names(variables, options), *connection_variables.check(variables)]
    problems += _missing(variables, options, frozenset(handed))
    shaped: list[Problem] = []
    for name, spec in options.items():
        if name in variables.raw:
            value = variables.rendered.get(name, variables.raw[name])
            shaped += Walk(variables.where).value((name,), value, spec)
    # The meaning of a key can be checked only when its shape is right.
    return problems + (
        shaped or [*_placeholders(variables), *_keys(variables), *_sysctl(variables), *apps.check(variables)]
    )


def _placeholders(variables: Variables) -> Iterator[Problem]:
    """Refuse what inventories/example has where something of the owner's own belongs."""
    for name, (placeholder, hint) in PLACEHOLDERS.items():
        if variables.raw.get(name) == placeholder:
            yield Problem(variables.where((name,)), name, f"is the example's {placeholder}; {hint}")


def _keys(variables: Variables) -> Iterator[Problem]:
    """Refuse what lets nobody in: a placeholder, a private key, the name of a file."""
    walk = Walk(variables.where)
    for name in ("base_admin_keys", "base_deploy_keys"):
        keys = variables.raw.get(name)
        for index, key in enumerate(keys if isinstance(keys, list) else []):
            if shapes.is_template(key):
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


def _sysctl(variables: Variables) -> Iterator[Problem]:
    """Refuse what the kernel's settings cannot be: a mistake there would count at the next boot alone."""
    settings = variables.raw.get("hardening_sysctl")
    for name, value in settings.items() if isinstance(settings, dict) else ():
        problem = partial(Walk(variables.where).problem, ("hardening_sysctl", name))
        if not _SYSCTL_NAME.fullmatch(str(name)):
            yield problem("is no name of a setting; write one such as net.ipv4.ip_forward")
        elif shapes.is_template(value) or (isinstance(value, int) and not isinstance(value, bool)):
            continue
        elif not isinstance(value, str) or not _SYSCTL_VALUE.fullmatch(value):
            yield problem("must be a number, or numbers and words on one line; write net.ipv4.ip_forward: 1")


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
            yield Problem(str(variables.home), name, f"missing; write {shapes.example(name, spec)}")
