"""Groups of the inventory that the playbooks do not ask for by that name, though their owner meant them to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from windlass import messages
from windlass.validation.variables import Problem

APP, WEB = "app", "web"


@dataclass(frozen=True)
class Group:
    """A group as Ansible sees it: all its hosts, and whether its owner has a use for it besides the playbooks."""

    hosts: frozenset[str]
    of_use: bool  # a parent, a child of another group, or a place of variables


def check(
    groups: Mapping[str, Group], known: Iterable[str], where: Callable[[str], str], home: Path
) -> Iterator[Problem | str]:
    """Give a problem for each misspelt group; where there is none, for each of those missing that every app needs."""
    known = sorted(known)
    misspelt = [
        Problem(where(name), name, f"unknown group; did you mean {near}?") for name, near in _slips(groups, known)
    ]
    yield from misspelt
    if misspelt:
        return
    if not groups.get(APP, Group(frozenset(), False)).hosts:
        yield str(messages.no_app_hosts(home))
    elif WEB not in groups:
        yield str(messages.no_web_group(home))


def _slips(groups: Mapping[str, Group], known: list[str]) -> Iterator[tuple[str, str]]:
    """Give each group whose hosts a group of nearly the same name, which the playbooks know, lacks."""
    for name, group in groups.items():
        if name in known or group.of_use or not group.hosts:
            continue
        near = messages.near(name, known)
        if near and not (near in groups and group.hosts <= groups[near].hosts):
            yield name, near
