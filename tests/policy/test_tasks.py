"""How a task is written."""

from __future__ import annotations

import re

import pytest

from tests.support import project
from tests.support.project import Task

TASKS = project.all_tasks()
ROLE_TASKS = [task for role in project.roles() for task in project.role_tasks(role)]
OWN_MODULES = {path.stem for path in project.ROOT.glob("plugins/action/*.py")}
every_task = pytest.mark.parametrize("task", TASKS, ids=str)
# Verbs that a name begins with would be a long list; these beginnings are none.
NOT_IMPERATIVE = re.compile(r"\w+(ing|ed|s)\b|The |A |An |If |When |[A-Z]\w+ (is|are) ")
ENDS_IN_S_OR_ED = {"Pass", "Process", "Address", "Bring", "Need", "Feed", "Embed", "Ring", "String"}
SECRETS = re.compile(
    r"\bapp_env\b|\bapp_notify\b|sasl_passwd|\b\w*(?:relay|vault)_\w*password|postfix_relay\.password|_passwords\.stdout"
    r"|request\.json|unvault|__app_urls|__app_owner_urls"
    r"|__postgresql_passwords \+ \['read'|__postgresql_(?:read|urls)\b"
    r"|'cat'.*\.password"
)


def test_a_loop_shows_no_secret_of_an_app():
    """At -vvv Ansible prints the items of a loop, whatever its label says."""
    over_apps = [task for task in TASKS if re.fullmatch(r"{{ *apps *}}", str(task.body.get("loop", "")))]
    assert [task for task in TASKS if "without_secrets" in str(task.body.get("loop"))]
    assert [str(task) for task in over_apps if task.body.get("no_log") is not True] == []


def test_a_task_is_named_with_an_imperative_sentence():
    assert [str(task) for task in TASKS if not is_imperative(str(task.body.get("name", "")))] == []


def is_imperative(name: str) -> bool:
    """Tell whether a name looks like an order: a capital first, no statement, no full stop."""
    if not name or not name[0].isupper() or name.endswith("."):
        return False
    return name.split()[0] in ENDS_IN_S_OR_ED or not NOT_IMPERATIVE.match(name)


def test_a_module_has_its_full_name():
    modules = {task.module for task in TASKS if task.module}
    assert len(modules) > 10
    assert {name for name in modules if name.count(".") != 2 and name not in OWN_MODULES} == set()


def test_a_mode_is_quoted_text():
    modes = [
        (task, key, value)
        for task in TASKS
        if task.module
        for key, value in arguments(task).items()
        if key.endswith("mode")
    ]
    assert modes
    assert [
        f"{task}: {key}"
        for task, key, value in modes
        if not re.fullmatch(r"0[0-7]{3}|[0-7]{4}", str(value)) or not isinstance(value, str)
    ] == []


def test_what_makes_a_file_gives_it_its_mode():
    makers = [task for task in TASKS if task.module in ("ansible.builtin.copy", "ansible.builtin.template")]
    assert makers
    assert [str(task) for task in makers if "mode" not in arguments(task)] == []


def test_a_password_in_the_index_address_is_not_for_everybody():
    writing = [
        task for task in ROLE_TASKS if task.module == "ansible.builtin.copy" and "app_index_url" in str(task.body)
    ]
    assert writing
    assert [str(task) for task in writing if arguments(task)["mode"] != "0640" or "diff" not in task.body] == []


def test_a_copy_on_the_server_is_of_a_file_that_may_be_there():
    """`copy` refuses a device; a rescue that copies one brings nothing back."""
    sources = [str(arguments(task).get("src")) for task in TASKS if task.module == "ansible.builtin.copy"]
    assert sources
    assert [source for source in sources if "/dev/" in source] == []


def test_apt_waits_for_whoever_holds_its_lock():
    installing = [task for task in TASKS if task.module == "ansible.builtin.apt"]
    assert installing
    assert [str(task) for task in installing if arguments(task).get("lock_timeout") != 300] == []


def arguments(task: Task) -> dict[str, object]:
    """Return the arguments of a task's module."""
    found = task.body[task.module]
    return found if isinstance(found, dict) else {}


def touches_a_secret(task: Task) -> bool:
    """Tell whether a task gives its module a secret, or gets one from it."""
    if task.module in ("", "ansible.builtin.file"):
        return False
    given = [arguments(task), task.body.get("vars"), task.body.get("loop")]
    return any(SECRETS.search(str(text)) for text in given)


def test_a_task_that_touches_a_secret_shows_nothing_of_it():
    """Neither in its result (`no_log`) nor in the difference of a file (`diff: false`)."""
    touching = [task for task in ROLE_TASKS if touches_a_secret(task)]
    writing = [task for task in touching if task.module in ("ansible.builtin.copy", "ansible.builtin.template")]
    assert len(writing) >= 4
    shown = [str(task) for task in touching if task.body.get("no_log") is not True]
    shown += [f"{task} (--diff)" for task in writing if task.body.get("diff") is not False]
    assert shown == []


def test_each_task_that_shows_nothing_is_known_for_its_secret():
    """Else the test above would let it show everything."""
    hidden = [task for task in ROLE_TASKS if task.body.get("no_log") is True]
    assert len(hidden) >= 10
    assert [str(task) for task in hidden if not touches_a_secret(task)] == []


def test_a_command_says_why_it_is_one():
    """With a comment, at its line or above the task: a module is the rule."""
    silent, seen = [], 0
    for path in [path for role in project.roles() for path in sorted(role.glob("*/*.yml"))]:
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if re.match(r"\s+ansible\.builtin\.(command|shell):", line):
                seen += 1
                before = "\n".join(lines[max(number - 4, 0) : number])
                if "#" not in line and "#" not in before:
                    silent.append(f"{project.shown(path)}:{number + 1}")
    assert seen
    assert silent == []


def test_nothing_is_downloaded_without_a_checksum():
    text = {path: path.read_text() for role in project.roles() for path in sorted(role.rglob("*.yml"))}
    assert len(text) > 20
    modules = r"get_url|ansible\.builtin\.(?:pip|git|uri|unarchive|deb822_repository|apt_repository|apt_key)\b"
    fetching = re.compile(rf"{modules}|\b(?:curl|wget) |pip.* install")
    for path, content in text.items():
        for line in content.splitlines():
            if fetching.search(line) and not line.lstrip().startswith("#"):
                assert "--require-hashes" in line, f"{project.shown(path)}: {line.strip()}"


def test_a_role_has_one_tag_and_it_is_its_name():
    seen = set()
    for path, play in project.plays():
        for task in project.play_tasks(path, play):
            if task.module != "ansible.builtin.import_role":
                continue
            tags = task.body.get("tags")
            role = task.body[task.module]
            seen.add(role["name"])
            asked_by = "app" if role.get("tasks_from") in ("urls", "retire") else role["name"]
            assert tags in (role["name"], asked_by), f"{task}: {tags}"
    assert seen == {role.name for role in project.roles()}


def test_a_role_sets_no_tag_itself():
    assert [str(task) for task in ROLE_TASKS if "tags" in task.body] == []
