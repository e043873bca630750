"""Provisioning a server that is in use: what changes, what does not, and what is refused before anything happens."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.fab import Fab
from tests.support.playbook import play, succeed
from tests.support.repository import ROOT
from tests.support.visitor import Visitor

ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())


def assert_unchanged(result: subprocess.CompletedProcess[str]) -> None:
    """Check that every host ended with changed=0 and failed=0."""
    recaps = re.findall(r"ok=(\d+) +changed=(\d+) +unreachable=(\d+) +failed=(\d+)", result.stdout)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr
    assert recaps, "no recap"
    assert all(
        int(ok) > 0 and (changed, unreachable, failed) == ("0", "0", "0") for ok, changed, unreachable, failed in recaps
    ), result.stdout[-6000:]


def test_a_preview_of_a_provisioned_server_with_releases_changes_nothing(inventory: Path, guestbook: Visitor):
    assert_unchanged(play(inventory, "--check", "--diff"))


def test_provisioning_again_after_releases_changes_nothing(inventory: Path, guestbook: Visitor):
    assert_unchanged(play(inventory))


@pytest.mark.parametrize("role", ROLES)
def test_each_role_can_be_run_alone_by_its_tag(inventory: Path, guestbook: Visitor, role: str):
    assert_unchanged(play(inventory, "--tags", role))


@pytest.fixture
def copy(inventory: Path, tmp_path: Path) -> Path:
    """Return a copy of the inventory that a test may spoil."""
    shutil.copytree(inventory, tmp_path / "inventory", symlinks=True)
    return tmp_path / "inventory"


@pytest.mark.parametrize(
    ("written", "spoilt", "key"),
    [
        ("health_path: /healthz", "heath_path: /healthz", "heath_path"),
        ("admin_email: admin@localhost", "admin_emial: admin@localhost", "admin_emial"),
        ("health_timeout: 30", "health_timeout: soon", "health_timeout"),
        ("    domains: [visitors.test]\n", "", "domains"),
    ],
    ids=["misspelt key of an app", "misspelt key", "wrong type", "missing key"],
)
def test_a_mistake_in_the_inventory_is_refused_with_its_file_and_key(
    copy: Path, guestbook: Visitor, written: str, spoilt: str, key: str
):
    main = copy / "group_vars" / "all" / "main.yml"
    text = main.read_text()
    assert written in text
    main.write_text(text.replace(written, spoilt))
    by_fab = Fab(copy)("deploy", "--app", "guestbook")
    assert by_fab.status == 2
    assert "main.yml" in by_fab.errors and key in by_fab.errors, by_fab.everything
    by_ansible = play(copy)
    assert by_ansible.returncode != 0
    said = by_ansible.stdout + by_ansible.stderr
    assert "main.yml" in said and key in said, said
    assert "changed=0" in said and "server " not in re.sub(r".*PLAY RECAP", "", said.split("PLAY RECAP")[0])
    assert guestbook.ask("/healthz").status == 200


def test_settings_that_an_app_does_not_start_with_are_refused_by_each_run_until_they_are_mended(
    inventory: Path, copy: Path, guestbook: Visitor
):
    main = copy / "group_vars" / "all" / "main.yml"
    main.write_text(main.read_text().replace("health_path: /healthz", "health_path: /nowhere"))
    for _ in range(2):
        refused = play(copy, "--tags", "app")
        assert refused.returncode != 0 and "guestbook: " in refused.stdout and "404" in refused.stdout, refused.stdout
        assert "Traceback" not in refused.stdout and '"event"' not in refused.stdout
        assert guestbook.ask("/healthz").status == 200
    succeed(inventory, "--tags", "app")
    assert_unchanged(play(inventory, "--tags", "app"))


def test_an_app_starts_with_new_settings_and_another_first_domain_in_one_run(
    inventory: Path, copy: Path, guestbook: Visitor
):
    main = copy / "group_vars" / "all" / "main.yml"
    text = main.read_text()
    assert "domains: [visitors.test]" in text
    main.write_text(text.replace("domains: [visitors.test]", "domains: [www.visitors.test, visitors.test]"))
    succeed(copy, "--tags", "app,nginx")
    assert guestbook.ask("/healthz").status == 200
    succeed(inventory, "--tags", "app,nginx")
    assert guestbook.ask("/healthz").status == 200


def test_a_wrong_vault_password_is_refused_before_any_change(copy: Path, guestbook: Visitor, tmp_path: Path):
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("right-password\n")
    wrong.write_text("wrong-password\n")
    vault = copy / "group_vars" / "all" / "vault.yml"
    vault.write_text("vault_other: secret\n")
    command = [str(ROOT / ".venv/bin/ansible-vault"), "encrypt", "--vault-password-file", str(right), str(vault)]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    result = play(copy, "--vault-password-file", str(wrong))
    assert result.returncode != 0
    assert "vault" in (result.stdout + result.stderr).lower()
    assert "wrong-password" not in result.stdout + result.stderr


def test_a_host_that_does_not_answer_is_named_in_one_line(copy: Path, guestbook: Visitor):
    hosts = copy / "hosts.yml"
    hosts.write_text(hosts.read_text().replace(guestbook.address, "127.0.0.9"))
    outcome = Fab(copy)("deploy", "--app", "guestbook")
    assert outcome.status == 4, outcome.everything
    errors = [line for line in outcome.errors.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and "127.0.0.9" in errors[0], outcome.everything
