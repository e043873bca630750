"""The guard of sshd and of the firewall, on files of a temporary directory."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.project import ROOT


@pytest.fixture
def guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the program, whose subject `ssh` is a file and a directory of ours; systemd is not asked."""
    path = ROOT / "roles/base/files/usr/local/sbin/windlass-guard.py"
    spec = importlib.util.spec_from_file_location("windlass_guard_program", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["windlass_guard_program"] = module
    spec.loader.exec_module(module)
    paths = [str(tmp_path / "file"), str(tmp_path / "folder")]
    for name, value in {
        "STATE": tmp_path / "state",
        "LOCK": tmp_path / "lock",
        "UNIT": tmp_path / "unit",
        "SUBJECTS": {"ssh": module.Subject(paths, [["true"]])},
        "run": lambda *command: None,
        "is_so": lambda *question: True,
        "forget": lambda subject: None,
    }.items():
        monkeypatch.setattr(module, name, value)
    return module


def test_what_was_there_comes_back_and_what_was_not_goes(guard: ModuleType, tmp_path: Path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/old").write_text("old")
    (tmp_path / "folder/old").chmod(0o640)
    assert guard.main(["arm", "ssh", "60"]) == 0
    (tmp_path / "file").write_text("new")
    (tmp_path / "folder/old").write_text("changed")
    (tmp_path / "folder/new").write_text("new")
    assert guard.main(["take-back", "ssh"]) == 0
    assert not (tmp_path / "file").exists()
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["old"]
    assert (tmp_path / "folder/old").read_text() == "old"
    assert (tmp_path / "folder/old").stat().st_mode & 0o777 == 0o640
    assert guard.main(["confirm", "ssh"]) == guard.NOT_PENDING


def test_what_is_confirmed_stays(guard: ModuleType, tmp_path: Path):
    (tmp_path / "file").write_text("old")
    guard.main(["arm", "ssh", "60"])
    (tmp_path / "file").write_text("new")
    assert guard.main(["apply", "ssh", "60"]) == 0
    assert guard.main(["confirm", "ssh"]) == 0
    assert guard.main(["take-back"]) == 0
    assert (tmp_path / "file").read_text() == "new"


def test_a_second_change_before_the_confirmation_goes_back_to_what_worked(guard: ModuleType, tmp_path: Path):
    (tmp_path / "file").write_text("works")
    guard.main(["arm", "ssh", "60"])
    (tmp_path / "file").write_text("unconfirmed")
    guard.main(["arm", "ssh", "60"])
    (tmp_path / "file").write_text("another")
    guard.main(["take-back"])
    assert (tmp_path / "file").read_text() == "works"


def test_nothing_is_applied_that_could_not_be_taken_back(guard: ModuleType):
    with pytest.raises(SystemExit, match="nothing is kept"):
        guard.main(["apply", "ssh", "60"])


def test_at_boot_no_service_is_asked_for_that_waits_for_the_guard(
    guard: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked: list[tuple[str, ...]] = []
    (tmp_path / "file").write_text("old")
    guard.main(["arm", "ssh", "60"])
    (tmp_path / "file").write_text("new")
    monkeypatch.setattr(guard, "run", lambda *command: asked.append(command))
    assert guard.main(["boot"]) == 0
    assert asked == [("systemctl", "daemon-reload")] and (tmp_path / "file").read_text() == "old"
    assert "windlass-guard boot" in guard.AT_BOOT


def test_at_boot_the_guard_waits_until_files_can_be_written(guard: ModuleType):
    assert "After=systemd-remount-fs.service" in guard.AT_BOOT.splitlines()


def test_what_one_command_says_keeps_no_other_from_bringing_the_old_settings_back(
    guard: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    asked: list[str] = []

    def run(*command: str) -> None:
        asked.append(command[0])
        if command[0] == "check":
            raise SystemExit("the check says no")

    (tmp_path / "file").write_text("old")
    guard.main(["arm", "ssh", "60"])
    (tmp_path / "file").write_text("new")
    monkeypatch.setattr(guard, "run", run)
    monkeypatch.setattr(guard, "SUBJECTS", {"ssh": guard.Subject([str(tmp_path / "file")], [["check"], ["restart"]])})
    assert guard.main(["take-back", "ssh"]) == 1
    assert asked == ["check", "restart"] and (tmp_path / "file").read_text() == "old"
    assert "the check says no" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["arm"], ["arm", "mail", "60"], ["open", "ssh"]])
def test_words_that_it_does_not_know_are_refused_with_its_manual(
    guard: ModuleType, words: list[str], capsys: pytest.CaptureFixture[str]
):
    assert guard.main(words) == 2
    assert "windlass-guard arm" in capsys.readouterr().err
