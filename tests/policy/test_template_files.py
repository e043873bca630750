"""How a file that a role installs begins, and where its source lies."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support import project

# Not files of a server: read by a command, and gone.
INPUTS = {
    "sysusers.conf.j2",
    "secret_files.conf.j2",
    "request.json.j2",
    "apps.sql.j2",
    "certificate.sh",
    "passwords.py",
    "earlier_processes.py",
}
INCLUDED = {"app.conf.j2"}
MANAGED = re.compile(r"(?:#|//|;) Managed by Windlass: ")


def templates() -> list[Path]:
    """Return the templates that become a file."""
    found = [path for role in project.roles() for path in sorted((role / "templates").rglob("*.j2"))]
    assert len(found) > 15
    return [path for path in found if path.name not in INPUTS | INCLUDED]


def test_an_installed_file_says_that_windlass_manages_it():
    installed = templates() + [
        path
        for role in project.roles()
        for path in (role / "files").rglob("*")
        if path.is_file() and path.name not in INPUTS
    ]
    first = {project.shown(path): path.read_text().split("\n", 2)[:2] for path in installed}
    assert [path for path, lines in first.items() if not any(MANAGED.match(line) for line in lines)] == []


def test_an_installed_file_says_what_it_is_for():
    silent = []
    for path in templates():
        head = path.read_text().split("\n")[:3]
        comments = [
            line for line in head if re.match(r"(#|//|;)(?!!)", line) and "a change made here is lost" not in line
        ]
        if not comments:
            silent.append(project.shown(path))
    assert silent == []


def test_a_template_lies_where_its_file_is_installed():
    places = {project.shown(path): project.shown(path).split("/templates/")[1].split("/")[0] for path in templates()}
    assert {path: place for path, place in places.items() if place not in ("etc", "usr", "var")} == {}
