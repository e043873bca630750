"""The passwords that a database server makes for its roles: renewed while those before still work."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.repository import ROOT
from windlass.server.database.postgresql import BUILT_IN_NAMES

SCRIPT = ROOT / "roles" / "postgresql" / "files" / "passwords.py"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "windlass"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(SCRIPT), str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def answer(folder: Path, *arguments: str) -> dict[str, Any]:
    done = run(folder, *arguments)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_each_role_gets_a_password_once_and_nobody_else_may_read_it(folder: Path):
    assert answer(folder, "make", "1", "shop", "shop-owner")["made"] == ["shop", "shop-owner"]
    assert not answer(folder, "make", "1", "shop", "shop-owner")["changed"]
    logins = answer(folder, "read")["logins"]
    assert {role: login for role, (login, _) in logins.items()} == {"shop": "shop", "shop-owner": "shop-owner"}
    passwords = [password for _, password in logins.values()]
    assert len(set(passwords)) == 2 and all(len(password) == 64 for password in passwords)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


def test_a_verifier_that_does_not_fit_its_password_is_made_again(folder: Path):
    answer(folder, "make", "1", "shop")
    (folder / "shop").write_text("another\n")
    assert answer(folder, "make", "1", "shop")["made"] == ["shop"]


def test_another_generation_is_the_other_logins_turn_and_the_passwords_before_stay(folder: Path):
    answer(folder, "make", "1", "shop")
    before = (folder / "shop").read_text(), (folder / "shop.scram").read_text()
    turned = answer(folder, "make", "2", "shop")
    assert turned == {"made": ["shop.b"], "ending": ".b", "changed": True, "waits": False}
    assert ((folder / "shop").read_text(), (folder / "shop.scram").read_text()) == before
    read = answer(folder, "read")
    assert read["former"] is True
    assert read["logins"]["shop"][0] == "shop.b" and read["logins"]["shop"][1] != before[0].strip()
    assert not answer(folder, "make", "2", "shop")["changed"]


def test_nothing_is_renewed_twice_while_something_uses_the_passwords_before(folder: Path):
    answer(folder, "make", "1", "shop")
    answer(folder, "make", "2", "shop")
    kept = {path: path.read_bytes() for path in folder.iterdir()}
    assert answer(folder, "make", "3", "shop") == {"made": [], "ending": ".b", "changed": False, "waits": True}
    assert {path: path.read_bytes() for path in folder.iterdir()} == kept


def test_a_password_that_a_full_disk_left_empty_is_none(folder: Path):
    answer(folder, "make", "1", "shop")
    (folder / "shop").write_text("")
    assert answer(folder, "make", "1", "shop")["made"] == ["shop"]
    assert len(answer(folder, "read")["logins"]["shop"][1]) == 64


def test_check_mode_makes_nothing(folder: Path):
    assert answer(folder, "would-make", "1", "shop")["made"] == ["shop"]
    assert not folder.exists()
    answer(folder, "make", "1", "shop")
    kept = sorted(folder.iterdir())
    assert answer(folder, "would-make", "2", "shop")["made"] == ["shop.b"]
    assert sorted(folder.iterdir()) == kept


def test_the_script_and_the_role_know_the_same_logins_and_keep_the_same_out_of_the_log():
    """The one runs on the server, the other renders what it is asked: each has to say it for itself."""
    spec = importlib.util.spec_from_file_location("passwords", SCRIPT)
    assert spec and spec.loader
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    role = SCRIPT.parents[1]
    variables = yaml.safe_load((role / "vars" / "main.yml").read_text())
    assert list(script.TURNS) == variables["__postgresql_turns"]
    tasks = yaml.safe_load((role / "tasks" / "databases.yml").read_text())
    options = [task["environment"]["PGOPTIONS"] for task in tasks if "environment" in task]
    assert len(options) == 1 and script.QUIET in options[0]
    assert "{{ __postgresql_options }} " in options[0]
    assert script.BUILT_IN_NAMES == variables["__postgresql_options"] == BUILT_IN_NAMES


def test_a_server_that_begins_with_a_later_generation_has_nothing_to_take_away(folder: Path):
    assert answer(folder, "make", "5", "shop")["changed"]
    assert answer(folder, "read")["former"] is False
    assert answer(folder, "retire") == {"changed": False, "sessions": []}
