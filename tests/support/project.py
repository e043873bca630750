"""The project's own files, as the policy and template tests look at them."""

from __future__ import annotations

import functools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# What a task can have beside its one module.
KEYWORDS = frozenset(
    [
        "name",
        "when",
        "loop",
        "loop_control",
        "register",
        "notify",
        "listen",
        "tags",
        "vars",
        "become",
        "become_user",
        "delegate_to",
        "run_once",
        "changed_when",
        "failed_when",
        "check_mode",
        "diff",
        "no_log",
        "environment",
        "block",
        "rescue",
        "always",
        "args",
        "until",
        "retries",
        "delay",
        "connection",
        "ignore_errors",
    ]
)


@dataclass(frozen=True)
class Task:
    """A task, a handler, or a block of them."""

    where: str
    body: dict[str, Any]

    @property
    def module(self) -> str:
        """The module, or nothing for a block."""
        modules = [key for key in self.body if key not in KEYWORDS]
        assert len(modules) <= 1, f"{self}: which of {modules} is the module?"
        return modules[0] if modules else ""

    def __str__(self) -> str:
        """Return file and name."""
        return f"{self.where}: {self.body.get('name')}"


def load(path: Path) -> Any:
    """Read YAML; libyaml takes a tenth of the time."""
    return yaml.load(path.read_text(), LOADER)  # noqa: S506 - safe ones


@functools.cache
def files() -> tuple[Path, ...]:
    """Return the files that belong to the project: what git has, and what it would take."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = tuple(path for name in listed.split("\0") if name and (path := ROOT / name).is_file())
    assert len(found) > 100
    return found


def shown(path: Path) -> str:
    """Return a path as a person types it."""
    return str(path.relative_to(ROOT))


def roles() -> list[Path]:
    """Return the folders of the roles."""
    found = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())
    assert len(found) > 5
    return found


def specs(role: Path) -> dict[str, Any]:
    """Return a role's entry points by name."""
    return dict(load(role / "meta" / "argument_specs.yml")["argument_specs"])


def inputs(role: Path) -> dict[str, dict[str, Any]]:
    """Return what all entry points of a role take."""
    return {name: spec for entry in specs(role).values() for name, spec in entry.get("options", {}).items()}


def defaults(role: Path) -> dict[str, Any]:
    """Return the defaults of a role."""
    path = role / "defaults" / "main.yml"
    return load(path) or {} if path.exists() else {}


def variables(role: Path) -> dict[str, Any]:
    """Return the variables of a role."""
    path = role / "vars" / "main.yml"
    return load(path) or {} if path.exists() else {}


def role_tasks(role: Path) -> list[Task]:
    """Return all tasks and handlers of a role."""
    paths = [*sorted(role.glob("tasks/*.yml")), *sorted(role.glob("handlers/*.yml"))]
    return [task for path in paths for task in _flat(load(path), shown(path))]


def plays() -> list[tuple[Path, dict[str, Any]]]:
    """Return the plays of playbooks/ with their files."""
    found = [(path, play) for path in sorted(ROOT.glob("playbooks/*.yml")) for play in load(path)]
    assert len(found) > 4
    return found


def play_tasks(path: Path, play: dict[str, Any]) -> list[Task]:
    """Return the tasks of a play."""
    sections = ("pre_tasks", "tasks", "post_tasks", "handlers")
    return [task for section in sections for task in _flat(play.get(section), shown(path))]


def all_tasks() -> list[Task]:
    """Return the tasks of all roles and playbooks."""
    found = [task for role in roles() for task in role_tasks(role)]
    found += [task for path, play in plays() for task in play_tasks(path, play)]
    assert len(found) > 50
    return found


def _flat(tasks: Any, where: str) -> Iterator[Task]:
    for body in tasks or []:
        yield Task(where, body)
        for part in ("block", "rescue", "always"):
            yield from _flat(body.get(part), where)
