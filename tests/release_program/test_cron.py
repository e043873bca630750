"""Scheduled commands: in one release from begin to end, never two at once, bounded, and heard of when they fail."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socketserver
import subprocess
import time
from collections.abc import Iterator
from email import message_from_string
from pathlib import Path

import pytest
from conftest import Server, app_files, make_server

from windlass.server.schedule import jobs, timers

RELEASE = "20260102T030405Z-abcdef0"


class Place:
    """A server with a release that is live, and one scheduled command."""

    def __init__(self, server: Server, mailbox: socketserver.TCPServer) -> None:
        self.server, self.paths = server, server.paths
        self.mails: list[str] = mailbox.mails  # type: ignore[attr-defined]
        self.smtp = ["127.0.0.1", mailbox.server_address[1]]
        self.go_live(RELEASE)

    def go_live(self, release: str) -> None:
        (self.paths.releases / release).mkdir()
        self.paths.current.unlink(missing_ok=True)
        self.paths.current.symlink_to(f"releases/{release}")

    def plan(self, command: str, *, timeout: int = 60, calendar: str = "daily") -> None:
        job = {"name": "sweep", "calendar": [calendar], "command": command, "timeout": timeout}
        text = json.dumps({"mail": ["you@example.com"], "smtp": self.smtp, "apps": {"demo": [job]}})
        self.paths.cron.write_text(text)

    def start(self) -> subprocess.Popen[str]:
        command = [str(self.paths.program), "cron", "demo", "sweep"]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def run(self) -> tuple[int, str]:
        process = self.start()
        said, _ = process.communicate(timeout=60)
        return process.returncode, said

    def record(self) -> dict[str, object]:
        return jobs.record(self.paths, "sweep")

    def subjects(self) -> list[str]:
        return [re.sub(r" on \S+:", ":", str(message_from_string(mail)["Subject"])) for mail in self.mails]


@pytest.fixture
def place(package_cache: Path, mailbox: socketserver.TCPServer) -> Iterator[Place]:
    server = make_server(package_cache)
    yield Place(server, mailbox)
    shutil.rmtree(server.prefix, ignore_errors=True)


def test_a_scheduled_command_finds_the_apps_environment_and_the_live_release(place: Place) -> None:
    place.server.set_env(CANARY="a'b $HOME")
    place.plan('echo "$CANARY $WINDLASS_RELEASE $WINDLASS_PROCESS"; pwd -P')
    status, said = place.run()
    assert (status, said.splitlines()) == (
        0,
        [f"a'b $HOME {RELEASE} cron-sweep", str((place.paths.releases / RELEASE).resolve())],
    )
    assert (place.record()["result"], place.record()["release"]) == ("ok", RELEASE)
    assert place.mails == []


def test_a_command_goes_on_in_the_release_that_it_began_in(place: Place) -> None:
    go = place.server.prefix / "go"
    place.plan(f"echo begun; while [ ! -e {go} ]; do sleep 0.05; done; pwd -P; echo $WINDLASS_RELEASE")
    process = place.start()
    assert process.stdout and process.stdout.readline() == "begun\n"
    place.go_live("20260303T030405Z-abcdef0")
    go.touch()
    said, _ = process.communicate(timeout=30)
    assert said.splitlines() == [str((place.paths.releases / RELEASE).resolve()), RELEASE]


def test_two_never_run_at_once_and_the_second_is_no_failure(place: Place) -> None:
    place.plan("echo begun; sleep 60")
    process = place.start()
    assert process.stdout and process.stdout.readline() == "begun\n"
    assert place.run() == (0, "sweep still runs: it is not started a second time\n")
    assert jobs.status(place.paths, lambda _: "")[0]["result"] == "running"
    process.terminate()
    process.communicate(timeout=30)
    assert place.record()["result"] == "sweep was stopped before it was done"


def test_what_a_killed_program_leaves_behind_keeps_the_second_away_until_it_has_ended(place: Place) -> None:
    place.plan("trap '' TERM; echo begun; while :; do sleep 0.1; done", timeout=600)
    process = place.start()
    assert process.stdout and process.stdout.readline() == "begun\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert "still runs" in place.run()[1]
    place.plan("echo next")
    place.server.wait_for(lambda: place.run()[1] == "next\n", 30)


@pytest.mark.parametrize("trap", ["", "trap : TERM; "], ids=["ends", "ignores-the-signal"])
def test_a_command_that_takes_too_long_is_ended_and_told(place: Place, trap: str) -> None:
    place.plan(f"{trap}while :; do sleep 0.1; done", timeout=1)
    began = time.monotonic()
    status, said = place.run()
    assert status == 1
    assert "windlass: sweep was ended after 1 s, its timeout" in said
    assert time.monotonic() - began < 40
    assert place.subjects() == ["demo: sweep was ended after 1 s, its timeout"]


def test_a_failure_is_told_once_with_the_last_lines_and_so_is_its_end(place: Place) -> None:
    place.plan("seq 100; echo 'no such table' >&2; exit 3")
    status, said = place.run()
    assert status == 1
    assert said.splitlines()[-1] == "windlass: sweep failed with status 3"
    assert place.run()[0] == 1
    assert place.subjects() == ["demo: sweep failed with status 3"]
    body = str(message_from_string(place.mails[0]).get_payload())
    assert "no such table" in body
    assert f"release: {RELEASE}" in body
    assert "\n10\n" not in body
    place.plan("true")
    assert place.run() == (0, "windlass: sweep is well again\n")
    assert place.run() == (0, "")
    assert place.subjects()[1:] == ["demo: sweep is well again"]


def test_a_failure_that_goes_on_is_told_again_the_next_day(place: Place) -> None:
    place.plan("exit 3")
    place.run()
    jobs.write_record(place.paths, "sweep", place.record() | {"told": time.time() - 25 * 3600})
    place.run()
    assert len(place.mails) == 2


def test_a_mail_server_that_is_down_is_told_in_the_log_and_tried_again(place: Place) -> None:
    port, place.smtp[1] = place.smtp[1], 9
    place.plan("exit 3")
    assert "notice" in place.run()[1]
    place.smtp[1] = port
    place.plan("exit 3")
    place.run()
    assert len(place.mails) == 1


def test_before_the_first_release_nothing_runs_and_nothing_fails(place: Place) -> None:
    place.plan("true")
    place.paths.current.unlink()
    assert place.run() == (0, "sweep was due, but the app has no release yet\n")


@pytest.mark.parametrize("arguments", [[], ["demo"], ["../demo", "sweep"], ["demo", "sweep;id"], ["demo", "swep"]])
def test_a_name_that_is_not_scheduled_is_refused(place: Place, arguments: list[str]) -> None:
    place.plan("touch /nowhere")
    found = subprocess.run([place.paths.program, "cron", *arguments], capture_output=True, text=True, check=False)
    assert found.returncode in (1, 2)
    assert found.stdout.startswith("usage:") or "did you mean sweep?" in found.stdout
    assert len(found.stdout.splitlines()) == 1


class Systemctl:
    """Notes what systemd is told, and enables as it would."""

    def __init__(self, place: Place) -> None:
        self.calls: list[str] = []
        self.wants = place.paths.units / "timers.target.wants"
        self.wants.mkdir(parents=True)

    def __call__(self, arguments: list[str]) -> str:
        self.calls.append(" ".join(arguments))
        if arguments[0] == "enable":
            (self.wants / arguments[-1]).symlink_to(f"../{arguments[-1]}")
        elif arguments[0] == "disable":
            (self.wants / arguments[-1]).unlink()
        return ""

    def told(self) -> list[str]:
        calls, self.calls = self.calls, []
        return calls


def test_timers_follow_the_plan(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    systemd, prefix, units = Systemctl(place), place.server.prefix, place.paths.units
    foreign = units / "windlass-renew.service"
    foreign.write_text("[Service]\nExecStart=/usr/bin/true\n")
    place.plan("true")
    for printed in ("scheduled windlass-demo-sweep\n", ""):
        timers.timers(prefix, ["demo"], systemd)
        assert capsys.readouterr().out == printed
    timer = units / "windlass-demo-sweep.timer"
    assert systemd.told() == ["daemon-reload", "stop windlass-demo-sweep.timer", f"enable --now {timer.name}"]
    assert "OnCalendar=daily\n" in timer.read_text()
    assert f"ExecStart={place.paths.program} cron demo sweep\n" in timer.with_suffix(".service").read_text()
    verify(units, timer)
    place.plan("true", calendar="hourly")
    stamp = place.paths.stamps / f"stamp-{timer.name}"
    stamp.parent.mkdir(parents=True)
    stamp.touch()
    os.utime(stamp, (0, 0))
    (systemd.wants / timer.name).unlink()
    timers.timers(prefix, ["demo"], systemd)
    assert "OnCalendar=hourly\n" in timer.read_text()
    assert stamp.stat().st_mtime > 0, "a new time of day would count as missed"
    systemd.told()
    timers.timers(prefix, [], systemd)
    assert systemd.told() == [f"disable --now {timer.name}", "daemon-reload"]
    assert sorted(path.name for path in units.iterdir()) == ["timers.target.wants", foreign.name]
    assert not stamp.exists()


def verify(units: Path, timer: Path) -> None:
    """Have systemd read the units."""
    if shutil.which("systemd-analyze"):
        command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(timer)]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        assert timer.stem not in found.stderr, found.stderr


def test_the_status_says_when_a_command_is_due_and_how_it_ended(place: Place) -> None:
    place.plan("exit 4")
    place.run()

    def systemctl(arguments: list[str]) -> str:
        assert arguments[-1] == "windlass-demo-sweep.timer"
        return '[{"next": 1800000000000000, "unit": "windlass-demo-sweep.timer"}, {"next": null, "unit": "x.timer"}]'

    row = jobs.status(place.paths, systemctl)[0]
    assert row["next"] == "2027-01-15T08:00:00Z"
    assert jobs.status(place.paths, lambda _: "")[0]["next"] is None
    assert row["result"] == "sweep failed with status 4"
    assert str(row["last"]).startswith("20")


def test_a_release_in_which_a_command_runs_is_not_pruned(server: Server) -> None:
    server.configure(keep_releases=1, health_timeout=30, processes={"worker": "sleep 1000"}, watch_seconds=0)
    first = server.deploy(app_files("0")).data["release"]
    job = {"name": "sweep", "calendar": ["daily"], "command": "echo begun; sleep 600", "timeout": 600}
    server.paths.cron.write_text(json.dumps({"apps": {"demo": [job]}}))
    command = [str(server.paths.program), "cron", "demo", "sweep"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "begun\n"
        for number in range(1, 4):
            assert server.deploy(app_files(str(number))).ok
        assert (server.paths.releases / first).is_dir()
        process.terminate()
    assert server.deploy(app_files("last")).ok
    assert not (server.paths.releases / first).exists()
