"""What Windlass stands on is written down, pinned, and no more than what is used."""

from __future__ import annotations

import json
import re
import tomllib
from importlib import metadata
from pathlib import Path

import ansible_collections

from tests.support import project

NAME = re.compile(r"[A-Za-z0-9._-]+")


def declared() -> set[str]:
    """Return the names of the packages in pyproject.toml."""
    found = tomllib.loads((project.ROOT / "pyproject.toml").read_text())
    groups = [found["project"]["dependencies"], found["build-system"]["requires"], *found["dependency-groups"].values()]
    names = {match.group() for group in groups for text in group if (match := NAME.match(text))}
    assert len(names) > 5
    return names


def documented() -> set[str]:
    """Return the names that have a line in docs/dependencies.md."""
    text = (project.ROOT / "docs" / "dependencies.md").read_text()
    found = set(re.findall(r"^\| `([^`]+)`", text, re.MULTILINE))
    assert found
    return found


def collections() -> dict[str, str]:
    """Return what requirements.yml names, with versions."""
    found = project.load(project.ROOT / "requirements.yml")["collections"]
    assert found
    return {entry["name"]: entry["version"] for entry in found}


def test_every_dependency_has_a_line_that_says_what_it_is_for():
    assert documented() == declared() | set(collections())


def test_the_collections_are_those_that_the_project_uses():
    places = [
        path
        for path in project.files()
        if project.shown(path).startswith(("roles/", "playbooks/", "molecule/", "ansible.cfg"))
    ]
    code = "\n".join(
        line.split("#")[0]
        for path in places
        if path.suffix in (".yml", ".j2", ".cfg")
        for line in path.read_text().splitlines()
    )
    used = set(re.findall(r"(?<![\w./@-])((?:ansible|community|containers)\.(?!builtin\b)[a-z_]+)\.[a-z_]+\b", code))
    assert used == set(collections())


def test_the_collections_are_those_of_the_locked_ansible():
    """The lock has one `ansible` for Python 3.11, which counts, and a newer one for later Pythons."""
    folder = Path(ansible_collections.__path__[0])
    named = collections()
    for name, version in named.items():
        manifest = folder / name.replace(".", "/") / "MANIFEST.json"
        brought = json.loads(manifest.read_text())["collection_info"]["version"]
        if metadata.version("ansible").startswith("12."):
            assert brought == version, name
        else:
            assert as_numbers(brought) >= as_numbers(version), name


def as_numbers(version: str) -> list[int]:
    """Return a version that can be compared."""
    return [int(part) for part in version.split(".")]


def test_every_package_of_the_lock_has_a_hash():
    packages = tomllib.loads((project.ROOT / "uv.lock").read_text())["package"]
    registry = [package for package in packages if "registry" in package["source"]]
    assert len(registry) > 20
    files = [
        file for package in registry for file in [*package.get("wheels", []), *filter(None, [package.get("sdist")])]
    ]
    assert all(file["hash"].startswith("sha256:") for file in files)
    assert [package["name"] for package in packages if set(package["source"]) - {"registry", "editable"}] == []
