"""What holds for every file of the project."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tests.support import project
from windlass import reference

OURS = re.compile(r"(?<![\w.<>{}/-])/(?:home|Users|root|work)/[\w.-]+")
NOT_A_MACHINE = re.compile(r"/root/\.ssh|/home/(?:admin|deploy|you|me|app|alice|user)\b|/root/uv\b|/roots/0")
DONE = re.compile(r"\b(?:TODO|FIXME|XXX)\b")


def texts() -> dict[Path, str]:
    """Return the text files of the project."""
    found = {}
    for path in project.files():
        try:
            found[path] = path.read_text()
        except UnicodeDecodeError:
            continue
    assert len(found) > 100
    return found


def test_no_file_names_a_folder_of_somebodys_machine():
    found = {}
    for path, text in texts().items():
        if path.name == "uv.lock" or path == Path(__file__):
            continue
        hits = [match.group() for match in OURS.finditer(NOT_A_MACHINE.sub("", text))]
        if hits:
            found[project.shown(path)] = hits
    assert found == {}


def test_no_file_is_left_with_something_to_do():
    assert [project.shown(path) for path, text in texts().items() if DONE.search(text) and path != Path(__file__)] == []


def test_the_lock_knows_only_the_public_index():
    for path, text in texts().items():
        if path.name == "uv.lock":
            urls = set(re.findall(r'registry = "([^"]+)"', text))
            assert urls == {"https://pypi.org/simple"}, project.shown(path)


def test_every_yaml_file_of_ansible_can_be_read():
    paths = [
        path
        for path in project.files()
        if path.suffix in (".yml", ".yaml")
        and project.shown(path).split("/")[0] in ("roles", "playbooks", "molecule", "inventories")
    ]
    assert len(paths) > 30
    for path in paths:
        list(yaml.load_all(path.read_text(), project.LOADER))


def test_the_reference_is_made_from_the_specs():
    assert reference.FILE.read_text() == reference.text(), "run: python -m windlass.reference"


def test_the_reference_has_every_key():
    text = reference.text()
    names = [name for role in project.roles() for name in project.inputs(role)]
    assert len(names) > 20
    assert [
        name for name in names if f"`{name}`" not in text and not name.startswith("firewall_") and name != "apps"
    ] == []


def test_a_scenario_has_tests():
    scenarios = sorted(path.parent for path in project.ROOT.glob("molecule/*/molecule.yml"))
    assert len(scenarios) > 5
    for scenario in scenarios:
        tests = project.ROOT / "tests" / "testinfra"
        several = {
            "default": "test_site.py",
            "faults": "test_faults_fleet.py",
            "security": "test_security_access.py",
        }
        file = tests / several.get(scenario.name, f"test_{scenario.name}.py")
        assert file.exists(), f"{scenario.name} has no {file.name}"
        assert re.search(r"^def test_", file.read_text(), re.MULTILINE), file.name
        assert project.load(scenario / "molecule.yml")["scenario"]["name"] == scenario.name
