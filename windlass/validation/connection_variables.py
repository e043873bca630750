"""Variables of the connection whose names Ansible does not know: it leaves a misspelt one alone in silence."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterator
from typing import Any

from windlass.validation.variables import Problem, Variables

PREFIX = "ansible_"
# Those of Ansible that its plugins' documentation does not list.
_OTHERS = re.compile(r"ansible_(\w+_interpreter|facts|become|become_method|network_os)")
_PLUGINS = {"connection": ("ssh", "local"), "become": ("sudo", "su"), "shell": ("sh",)}
_CUTOFF = 0.75
_LETTERS = 2  # more or fewer than the known name has: such a name is another word, not a slip


def check(variables: Variables) -> Iterator[Problem]:
    """Give a problem for each name that is nearly one that Ansible knows. Others may be the owner's own.

    Plugins for other ways of connecting than ours have names of their own, so there nothing is refused.
    """
    if variables.raw.get("ansible_connection", "ssh") not in _PLUGINS["connection"]:
        return
    for name in map(str, variables.raw):
        if name.startswith(PREFIX) and not _OTHERS.fullmatch(name) and (near := _slip(name)):
            yield Problem(variables.where((name,)), name, f"unknown; did you mean {near}?")


def _slip(name: str) -> str:
    """Return the known name that was meant, or nothing."""
    if name in _usual() or name in _known():
        return ""
    word = name.removeprefix(PREFIX)
    known = [one.removeprefix(PREFIX) for one in _known() if abs(len(one) - len(name)) <= _LETTERS]
    near = difflib.get_close_matches(word, sorted(known), n=1, cutoff=_CUTOFF)
    return PREFIX + near[0] if near else ""


@functools.cache
def _usual() -> frozenset[str]:
    """Return what can be had at once: Ansible's own constants."""
    from ansible import constants

    mapped = {name for names in constants.MAGIC_VARIABLE_MAPPING.values() for name in names}
    internal = constants.INTERNAL_STATIC_VARS | set(constants.COMMON_CONNECTION_VARS)
    return frozenset(name for name in mapped | internal if name.startswith(PREFIX))


@functools.cache
def _known() -> frozenset[str]:
    """Return those that the plugins document, and Ansible's settings, too; that takes a third of a second."""
    from ansible import constants
    from ansible.plugins.loader import become_loader, connection_loader, shell_loader

    loaders = {"connection": connection_loader, "become": become_loader, "shell": shell_loader}
    definitions: list[dict[str, Any]] = [constants.config.get_configuration_definitions()]
    for kind, plugins in _PLUGINS.items():
        for plugin in plugins:
            loaders[kind].get(plugin, class_only=True)
            definitions.append(constants.config.get_configuration_definitions(kind, plugin))
    names = {str(use["name"]) for group in definitions for option in group.values() for use in option.get("vars") or ()}
    return _usual() | {name for name in names if name.startswith(PREFIX)}
