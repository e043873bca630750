"""How a role is laid out, and what it may read."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.support import project

ROLES = project.roles()
SHARED = {"apps", "admin_email"}
every_role = pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)


def text_of(role: Path) -> dict[str, str]:
    """Return what Ansible reads of a role, by file."""
    paths = [path for path in sorted(role.rglob("*")) if path.is_file() and path.suffix in (".yml", ".j2")]
    return {project.shown(path): path.read_text() for path in paths}


@every_role
def test_a_role_says_what_it_takes_and_begins_with_a_table_of_contents(role: Path):
    assert (role / "meta" / "argument_specs.yml").exists()
    assert len((role / "tasks" / "main.yml").read_text().splitlines()) <= 40


@every_role
def test_a_task_file_fits_on_a_screen_and_a_half(role: Path):
    lengths = {project.shown(path): len(path.read_text().splitlines()) for path in role.glob("tasks/*.yml")}
    assert lengths
    assert {path: length for path, length in lengths.items() if length > 100} == {}


@every_role
def test_the_reference_of_a_role_says_the_defaults_that_it_has(role: Path):
    inputs, defaults = project.inputs(role), project.defaults(role)
    wrong = {
        name: f"the specs say {spec['default']!r}" for name, spec in inputs.items() if differs(spec, defaults, name)
    }
    assert wrong == {}
    missing = [name for name, spec in inputs.items() if is_own(role, name) and not spec.get("required")]
    assert [name for name in missing if name not in defaults] == [], "in the specs and not in defaults/main.yml"


def differs(spec: dict[str, Any], defaults: dict[str, Any], name: str) -> bool:
    """Tell whether the default of a spec is another than that of the role."""
    return "default" in spec and (name not in defaults or defaults[name] != spec["default"])


@every_role
def test_a_default_is_in_the_reference(role: Path):
    inputs = project.inputs(role)
    for name, value in project.defaults(role).items():
        assert name in inputs, f"{name} is in defaults/main.yml, and not in the specs"
        assert not inputs[name].get("required"), f"{name} is required, and has a default"
        if "default" in inputs[name] or value is None:
            continue
        assert isinstance(value, str), f"the specs do not say the default of {name}"
        assert "{{" in value, f"the specs do not say the default of {name}"
        said = " ".join(
            [inputs[name]["description"]]
            if isinstance(inputs[name]["description"], str)
            else inputs[name]["description"]
        )
        assert "Without it" in said, f"{name}: its description does not say what counts without it"


def is_own(role: Path, name: str) -> bool:
    """Tell whether a name is one of the role's inputs."""
    return name.startswith(f"{role.name}_") and not name.startswith(f"{role.name}__")


@every_role
def test_what_a_role_takes_begins_with_its_name(role: Path):
    names = set(project.inputs(role)) | set(project.defaults(role))
    assert [name for name in names if not is_own(role, name) and name not in SHARED] == []


@every_role
def test_what_a_role_keeps_to_itself_or_publishes_is_named_so(role: Path):
    allowed = (f"__{role.name}_", f"{role.name}__")
    assert [name for name in project.variables(role) if not name.startswith(allowed)] == []
    kept = [task.body["register"] for task in project.role_tasks(role) if "register" in task.body]
    kept += [name for task in project.role_tasks(role) for name in task.body.get("ansible.builtin.set_fact", {})]
    assert [name for name in kept if not name.startswith((*allowed, "ansible_"))] == []


@every_role
def test_a_role_reads_no_variable_of_another_role(role: Path):
    others = "|".join(other.name for other in ROLES if other != role)
    names = {name for other in ROLES if other != role for name in (*project.inputs(other), *project.variables(other))}
    foreign = re.compile(rf"(?<![\w.'\"/-])(?:__(?:{others})_\w+|(?:{others})__\w+)")
    for file, text in text_of(role).items():
        found = set(foreign.findall(text)) | (set(re.findall(r"(?<![\w./-])\w+", text)) & (names - SHARED))
        assert found == set(), file


@every_role
def test_the_words_of_a_reference_are_not_templates(role: Path):
    """Ansible renders descriptions with the rest of the specs, and fails at braces."""
    specs = project.specs(role)
    assert specs
    for entry, spec in specs.items():
        assert "{{" not in str(descriptions(spec)), f"{role.name}: {entry}"


def descriptions(spec: dict[str, Any]) -> list[Any]:
    """Return all descriptions in a spec; fail where one is missing."""
    found = [spec.get("short_description"), spec.get("description")]
    for name, option in (spec.get("options") or {}).items():
        assert option.get("description"), f"{name} has no description"
        assert option.get("type"), f"{name} has no type"
        found += descriptions(option)
    return found


def test_every_entry_of_a_role_is_used_by_a_playbook():
    used = set()
    for path, play in project.plays():
        for task in project.play_tasks(path, play):
            if task.module == "ansible.builtin.import_role":
                role = task.body[task.module]
                used.add((role["name"], role.get("tasks_from", "main")))
    assert {(role.name, entry) for role in ROLES for entry in project.specs(role)} - used == set()
