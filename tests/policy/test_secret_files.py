"""No file with a secret is open to others, not for the moment either in which Ansible makes it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import leaks, project
from tests.support.project import Task
from tests.support.rendering import APPS, render

APP = APPS[0]["name"]
EVERYTHING = {
    "app_index_url": "https://you:secret@pypi.example.com/simple",
    "apps": [APPS[0] | {"notify": {"webhook": "https://hooks.example.com/secret"}}],
    "__app_owner_urls": {APP: "postgresql://secret"},
}
# Closed to others, but no secret: it does no harm if somebody reads them while they are made.
NOT_SECRET = {
    "/etc/sudoers.d/windlass",
    "/etc/sudoers.d/windlass-admin",
    "/etc/sudoers.d/windlass-umask",
    "{{ __postgresql_etc }}/pg_hba.conf",
    "/etc/redis/redis-{{ item }}.conf",
}
# Runs the module, and looks at the file after each line of Python.
WATCHED = """
import json, os, stat, sys
from ansible.module_utils.testing import patch_module_args
from ansible.modules import copy

source, place = sys.argv[1:]
seen = set()

def look(frame, event, argument):
    try:
        seen.add(stat.S_IMODE(os.stat(place).st_mode))
    except FileNotFoundError:
        pass
    return look

os.umask(0o022)
with patch_module_args({"src": source, "dest": place, "mode": "0600"}):
    sys.settrace(look)
    try:
        copy.main()
    except SystemExit:
        sys.settrace(None)
print()
print(json.dumps(sorted(seen)))
"""


def modes_while_written(place: Path) -> set[int]:
    """Return the modes that a file has while Ansible's copy writes it with the mode 0600."""
    source = place.with_name("source")
    source.write_text("a secret\n")
    source.chmod(0o600)
    command = [sys.executable, "-c", WATCHED, str(source), str(place)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert place.read_text() == "a secret\n", done.stdout
    assert place.stat().st_mode & 0o777 == 0o600
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_a_new_file_is_open_for_a_moment_and_one_that_was_there_is_not(tmp_path: Path):
    """Once the first half fails, Ansible has been mended, and files need not be made before any more."""
    assert 0o644 in modes_while_written(tmp_path / "new")
    there = tmp_path / "there"
    os.close(os.open(there, os.O_CREAT, 0o600))
    assert modes_while_written(there) == {0o600}


def closed_writers() -> list[tuple[Path, Task, dict[str, str]]]:
    """Return the tasks of roles that write a file which not everybody may read, with the module's arguments."""
    found = []
    for role in project.roles():
        for task in project.role_tasks(role):
            if task.module not in ("ansible.builtin.copy", "ansible.builtin.template"):
                continue
            given = task.body[task.module]
            if given["mode"].endswith("0") and given["dest"] not in NOT_SECRET:
                found.append((role, task, given))
    return found


def made_before(role: Path, task: Task) -> dict[str, tuple[str, str, str]]:
    """Return what a role makes before a task, with mode, owner and group: by systemd-tmpfiles, or by touching it."""
    found = {}
    if role.name == "app":
        tasks = [entry.get("ansible.builtin.import_tasks") for entry in project.load(role / "tasks" / "main.yml")]
        assert tasks.index("place.yml") < tasks.index(Path(task.where).name)
        (making,) = [one for one in project.role_tasks(role) if "secret_files.conf.j2" in str(one.body)]
        assert making.where.endswith("/place.yml")
        assert "when" not in making.body
        text = render(role / "templates" / "secret_files.conf.j2", "13", **EVERYTHING)
        found = {
            path: (mode, owner, group)
            for path, mode, owner, group in re.findall(r"(?m)^f (\S+) (\S+) (\S+) (\S+)", text)
        }
    for earlier in project.role_tasks(role):
        if earlier.body == task.body:
            break
        given = earlier.body.get("ansible.builtin.file", {})
        if "touch" in str(given.get("state")):
            found[given["path"]] = (given["mode"], given["owner"], given["group"])
    return found


@pytest.mark.parametrize(("role", "task", "given"), closed_writers(), ids=lambda value: str(value)[:80])
def test_a_file_for_a_secret_is_there_before_the_secret_is(role: Path, task: Task, given: dict[str, str]):
    place = re.sub(r"{{ (app\.name|item\.key) }}", APP, given["dest"])
    group = re.sub(r"{{ app\.name }}", APP, given.get("group", "root"))
    assert made_before(role, task).get(place) == (given["mode"], given.get("owner", "root"), group)


def test_the_files_that_were_looked_at_are_those_with_secrets():
    places = {given["dest"] for _, _, given in closed_writers()}
    assert places >= {
        "/etc/windlass/{{ app.name }}.env",
        "/etc/windlass/{{ app.name }}.json",
        "/etc/windlass/{{ app.name }}.notify.json",
        "/etc/windlass/{{ item.key }}.owner.env",
        "/etc/windlass/cron.json",
        "/etc/postfix/sasl_passwd",
    }
    every = {str(task.body) for role in project.roles() for task in project.role_tasks(role)}
    assert [place for place in NOT_SECRET if not any(place in body for body in every)] == []


def test_the_files_are_as_closed_as_their_documentation_says():
    app = project.ROOT / "roles" / "app"
    tasks = [task for role, task, _ in closed_writers() if role == app]
    made = {path: f"{owner}:{group} {mode[1:]}" for path, (mode, owner, group) in made_before(app, tasks[0]).items()}
    documented = {path: rights for path, rights in leaks.documented(APP).items() if path.startswith("/etc/windlass/")}
    assert documented == {path: rights for path, rights in made.items() if path != "/etc/windlass/cron.json"}


def test_what_is_wanted_sometimes_is_made_only_then():
    text = render(project.ROOT / "roles/app/templates/secret_files.conf.j2", "13", __app_owner_urls={})
    assert re.findall(r"(?m)^f (\S+)", text) == [
        "/etc/windlass/cron.json",
        *(f"/etc/windlass/{app['name']}.env" for app in APPS),
    ]
