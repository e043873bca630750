"""What a person reads: the pages of docs/."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path

import pytest

import tasks
from tests.support import project

PAGES = [
    path
    for path in project.files()
    if path.suffix == ".md" and not project.shown(path).startswith(("tests/apps", "examples"))
]
VERBS = [name for name, value in vars(tasks).items() if type(value).__name__ == "Task"]
FENCE = re.compile(r"^( *)```(?:sh|console)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
every_page = pytest.mark.parametrize("page", PAGES, ids=project.shown)


def test_there_are_verbs_and_pages_to_look_at():
    assert len(VERBS) > 6
    assert len(PAGES) > 3


@every_page
def test_a_link_leads_to_a_file_of_the_project(page: Path):
    text = page.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), f"{project.shown(page)}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in anchors, f"{project.shown(page)}: {target}"


@every_page
def test_a_verb_of_fab_exists_with_its_options(page: Path):
    code = re.findall(r"`([^`\n]+)`", page.read_text()) + [
        line for _, block in FENCE.findall(page.read_text()) for line in block.splitlines()
    ]
    for text in code:
        for verb, rest in re.findall(r"(?:^|[|;&(]\s*)fab ([a-z]+)([^|;&\n]*)", text):
            assert verb in VERBS, f"{project.shown(page)}: fab {verb}"
            known = {name.replace("_", "-") for name in inspect.signature(vars(tasks)[verb].body).parameters}
            options = set(re.findall(r"(?<!\S)--([a-z-]+)", rest.split("#")[0].split("'")[0]))
            assert options <= known, f"{project.shown(page)}: {text}"


@every_page
def test_a_script_or_file_that_a_command_names_exists(page: Path):
    for _, block in FENCE.findall(page.read_text()):
        for line in block.splitlines():
            for name in re.findall(
                r"(?<![\w/.~-])((?:script|playbooks|molecule|roles|docs|windlass)/[\w./-]+|site\.yml|requirements\.yml)",
                line.split(" #")[0],
            ):
                assert (project.ROOT / name).exists(), f"{project.shown(page)}: {line}"


@every_page
def test_a_scenario_that_a_command_names_exists(page: Path):
    named = re.findall(r"molecule \w+ -s ([a-z]+)", page.read_text())
    assert [name for name in named if not (project.ROOT / "molecule" / name).exists()] == []


@every_page
def test_a_command_can_be_pasted(page: Path):
    for _, block in FENCE.findall(page.read_text()):
        joined = block.replace("\\\n", " ")
        assert "$ " not in re.sub(r"\S\$ ", "", joined[:2]), project.shown(page)
        if "<<" not in joined:
            shlex.split("\n".join(line.split(" #")[0] for line in joined.splitlines()))


@every_page
def test_a_key_of_an_inventory_in_an_example_is_known(page: Path):
    from windlass import specs

    known = set(specs.options()) | set(specs.handed())
    for block in re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        for key in re.findall(r"^([a-z][a-z0-9]*_[a-z0-9_]+):", block, re.MULTILINE):
            assert key in known or key.startswith(("vault_", "ansible_")), f"{project.shown(page)}: {key}"
