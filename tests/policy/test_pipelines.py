"""The files for pipelines in docs/pipelines/: complete, pinned, and with the command that the page documents."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support import project

FILES = sorted((project.ROOT / "docs" / "pipelines").glob("*.yml"))
RULES = "{extends: default, rules: {line-length: {max: 130}, truthy: {check-keys: false}, document-start: disable, \
comments: {min-spaces-from-content: 1}}}"
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)


def test_there_is_one_for_github_and_one_for_gitlab():
    assert [path.name for path in FILES] == ["github-actions.yml", "gitlab-ci.yml"]


@every_file
def test_it_is_clean_yaml(path: Path):
    yamllint = Path(sys.executable).with_name("yamllint")
    done = subprocess.run([yamllint, "-d", RULES, "--strict", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@every_file
def test_what_runs_in_it_is_pinned(path: Path):
    text = path.read_text()
    used = re.findall(r"uses: (\S+)", text)
    assert [name for name in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name)] == []
    images = re.findall(r"image: (\S+)", text)
    assert [name for name in images if not re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+-\w+", name)] == []
    assert used or images


@every_file
def test_it_runs_the_documented_command_with_a_key_by_file_and_a_known_server(path: Path):
    text = path.read_text()
    page = (project.ROOT / "docs" / "pipelines.md").read_text()
    documented = re.search(r"^fab deploy .*$", page, re.MULTILINE)
    assert documented
    command = documented[0].replace('"$COMMIT"', "COMMIT")
    assert command in re.sub(r'"\$(COMMIT|CI_COMMIT_SHA)"', "COMMIT", text)
    for needed in ("~/.ssh/id_ed25519", "~/.ssh/known_hosts", 'WINDLASS_WITHOUT_VAULT: "1"', "WINDLASS_BY:"):
        assert needed in text
    assert "StrictHostKeyChecking=no" not in text
    assert "ssh-keyscan" not in text
    assert isinstance(yaml.safe_load(text), dict)
