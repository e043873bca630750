"""What the roles take: the union of `roles/*/meta/argument_specs.yml`, the reference of every input."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent

Options = dict[str, dict[str, Any]]


def _read(path: Path) -> Any:
    """Read YAML; libyaml takes a tenth of the time."""
    return yaml.load(path.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - safe ones


@functools.cache
def options() -> Options:
    """Return the options of all roles by name. Where two take the same input, the fuller spec counts."""
    union: Options = {}
    for path in sorted(ROOT.glob("roles/*/meta/argument_specs.yml")):
        specs = _read(path) or {}
        for name, spec in specs["argument_specs"].get("main", {}).get("options", {}).items():
            if len(str(spec)) > len(str(union.get(name, ""))):
                union[name] = spec
    return union


@functools.cache
def handed() -> frozenset[str]:
    """Return the names that the playbooks hand to roles, so that no inventory has to set them."""
    names: set[str] = set()
    for path in sorted(ROOT.glob("playbooks/*.yml")):
        for play in _read(path) or []:
            names |= set(play.get("vars") or {})
            for role in play.get("roles") or []:
                if isinstance(role, dict):
                    names |= set(role) | set(role.get("vars") or {})
            for task in _tasks(play):
                names |= set(task.get("vars") or {})
    return frozenset(names)


@functools.cache
def groups() -> frozenset[str]:
    """Return the groups of servers that the playbooks take."""
    patterns = [str(play.get("hosts", "")) for path in ROOT.glob("playbooks/*.yml") for play in _read(path) or []]
    words = {word for pattern in patterns if "{{" not in pattern for word in re.split(r"[:,!&]+", pattern)}
    return frozenset(words - {"all", ""})


def _tasks(play: dict[str, Any]) -> list[dict[str, Any]]:
    return [task for section in ("pre_tasks", "tasks", "post_tasks") for task in play.get(section) or []]


def complete(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry of `apps` with the defaults of the spec filled in; None where there is no default."""
    spec = options()["apps"]["options"]
    return {key: entry.get(key, option.get("default")) for key, option in spec.items()}
