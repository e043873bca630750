"""The alarm for a file system that is nearly full, as the role base installs it."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest

from tests.support.project import ROOT


@pytest.fixture(scope="module")
def disk() -> ModuleType:
    path = ROOT / "roles/base/files/usr/local/sbin/windlass-disk.py"
    spec = importlib.util.spec_from_file_location("windlass_disk", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["windlass_disk"] = module
    spec.loader.exec_module(module)
    return module


def room(disk: ModuleType, space: float, inodes: float = 1.0, size_gb: float = 20) -> object:
    return disk.Room("/srv", int(space * size_gb * 1024**3), space, inodes, 0.1)


def test_it_is_told_once_and_again_only_when_there_is_room(disk: ModuleType):
    full, fuller, better, well = (room(disk, share) for share in (0.09, 0.01, 0.11, 0.3))
    assert disk.news([full], set()) == ([full], [])
    assert disk.news([fuller], {"/srv"}) == ([], [])
    assert disk.news([better], {"/srv"}) == ([], []), "a file that comes and goes is no news"
    assert disk.news([well], {"/srv"}) == ([], [well])
    assert disk.news([well], set()) == ([], [])


def test_inodes_count_too(disk: ModuleType):
    without = room(disk, 0.9, inodes=0.02)
    assert disk.news([without], set()) == ([without], [])


def test_of_a_large_disk_5_gb_are_enough(disk: ModuleType):
    large = room(disk, 0.04, size_gb=1000)
    assert disk.news([large], set()) == ([], [])


def test_a_mail_that_is_not_accepted_is_tried_again(disk: ModuleType, tmp_path, monkeypatch: pytest.MonkeyPatch):
    accepted: list[bool] = [False, True]
    sent: list[object] = []

    def mail(full: list[object], _well: list[object]) -> bool:
        sent.append(full)
        return accepted.pop(0)

    monkeypatch.setattr(disk, "STATE", tmp_path / "state.json")
    monkeypatch.setattr(disk, "mail", mail)
    monkeypatch.setattr(disk, "mounts", lambda _: ["/srv"])
    monkeypatch.setattr(disk, "look", lambda _mount, _wanted: room(disk, 0.01))
    monkeypatch.setattr(sys, "argv", ["windlass-disk", "10"])
    assert [disk.main(), disk.main(), disk.main()] == [1, 0, 0]
    assert len(sent) == 2


def test_what_holds_no_files_or_cannot_be_written_is_not_looked_at(disk: ModuleType, tmp_path):
    table = f"proc /proc proc rw 0 0\n/dev/a {tmp_path} ext4 rw,relatime 0 0\n/dev/a {tmp_path} ext4 rw 0 0\n"
    table += f"/dev/b {tmp_path} iso9660 ro 0 0\n"
    assert list(disk.mounts(table)) == [str(tmp_path)]
