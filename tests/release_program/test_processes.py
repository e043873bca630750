"""The processes beside `web`: jobs in hand are finished, and of some there is never more than one."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable

import pytest
from conftest import PROCFILE, Server, app_files

# Tells a file when it starts and stops and that it runs; the job in hand takes JOB seconds from the signal on.
DIARIST = """
import os, signal, sys, time

release = os.path.basename(os.path.dirname(os.path.abspath(__file__)))
name, diary, job, number = sys.argv[1], open(sys.argv[2], "a", buffering=1), float(sys.argv[3]), sys.argv[4]
told = []

def say(what):
    diary.write(f"{time.time():.3f} {name} {what} {os.getpid()} {release}\\n")

signal.signal(getattr(signal, "SIG" + number), lambda *_: told.append(time.time()))
say("start")
while not told or time.time() < told[0] + job:
    say("tick")
    time.sleep(0.02)
say("stop")
"""


class Diary:
    """What the processes of a server wrote of themselves."""

    def __init__(self, server: Server) -> None:
        self.path = server.prefix / "diary"

    def command(self, name: str, job: float = 0, number: str = "TERM") -> str:
        """Return the command of a process that keeps the diary."""
        return f"python diarist.py {name} {self.path} {job} {number}"

    def of(self, name: str) -> list[tuple[float, str, int, str]]:
        """Return time, event, pid and release of each line of a process."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        rows = [line.split() for line in lines]
        return [(float(row[0]), row[2], int(row[3]), row[4]) for row in rows if row[1] == name]

    def time_of(self, name: str, what: str, release: str) -> float:
        """Return when a process of a release started or stopped."""
        found = [row[0] for row in self.of(name) if row[1] == what and row[3] == release]
        assert found, (name, what, release)
        return found[-1]

    def assert_one_at_a_time(self, name: str) -> int:
        """Hold the process to it: who starts finds nobody, and only who started speaks. Return the starts."""
        running = 0
        for row in self.of(name):
            if row[1] == "start":
                assert not running, f"{row} started beside {running}"
                running = row[2]
            assert row[2] == running, f"{row} spoke beside {running}"
            if row[1] == "stop":
                running = 0
        return sum(row[1] == "start" for row in self.of(name))


@pytest.fixture
def diary(server: Server) -> Diary:
    server.configure(health_timeout=30)
    return Diary(server)


def files(version: str, **more: str) -> dict[str, str]:
    return app_files(version) | {"diarist.py": DIARIST} | more


def test_a_job_in_hand_is_finished_and_keeps_nothing_else_from_being_replaced(server: Server, diary: Diary) -> None:
    server.configure(
        stop_timeout=0,
        stop_timeouts={"worker": 30},
        processes={"worker": diary.command("worker", 6), "scheduler": diary.command("scheduler")},
    )
    first = server.deploy(files("one")).data["release"]
    reply = server.deploy(files("two"))
    second = reply.data["release"]
    told = diary.time_of("scheduler", "stop", first)
    finished = diary.time_of("worker", "stop", first)
    assert finished > told + 5
    assert diary.time_of("scheduler", "start", second) < told + 3
    assert diary.time_of("worker", "start", second) > finished
    assert {item["release"] for item in server.ask("status").data["processes"]} == {second}
    assert [e["message"] for e in reply.events if e["event"] == "note"] == [
        "worker may take up to 30 s to finish the job in hand"
    ]


def test_of_several_workers_only_the_busy_one_is_waited_for(server: Server, diary: Diary) -> None:
    busy = f"if mkdir {server.prefix}/busy; then exec {diary.command('busy', 4)}; else exec {diary.command('idle')}; fi"
    server.configure(scale={"worker": 2}, processes={"worker": busy})
    first = server.deploy(files("one")).data["release"]
    server.wait_for(lambda: bool(diary.of("busy") and diary.of("idle")))
    second = server.deploy(files("two")).data["release"]
    assert diary.of("idle")[-1][3] == second
    began = min(row[0] for row in diary.of("idle") if row[3] == second)
    assert began < diary.time_of("busy", "stop", first) - 2


def test_a_process_is_stopped_by_the_signal_that_it_wants(server: Server, diary: Diary) -> None:
    server.configure(stop_signals={"worker": "INT"}, processes={"worker": diary.command("worker", 0, "INT")})
    first = server.deploy(files("one")).data["release"]
    server.deploy(files("two"))
    assert diary.time_of("worker", "stop", first)


def test_a_process_that_does_not_stop_is_killed_after_its_own_time(server: Server, diary: Diary) -> None:
    server.configure(stop_timeout=60, stop_timeouts={"worker": 1}, processes={"worker": diary.command("worker", 99)})
    server.deploy(files("one"))
    began = time.monotonic()
    assert server.deploy(files("two")).ok
    assert time.monotonic() - began < 30


def test_there_is_one_scheduler_through_deploys_failures_and_rollbacks(server: Server, diary: Diary) -> None:
    server.configure(
        processes={"scheduler": diary.command("scheduler", 0.5), "worker": "sleep 1000"}, scale={"scheduler": 3}
    )
    server.deploy(files("one"))
    assert server.deploy(files("two")).ok
    server.configure(processes={"scheduler": diary.command("scheduler", 0.5), "worker": "false"})
    assert server.deploy(files("three")).error["code"] == "worker-failed"
    server.configure(processes={"scheduler": diary.command("scheduler", 0.5)})
    assert server.ask("rollback").ok
    assert server.ask("restart").ok
    assert diary.assert_one_at_a_time("scheduler") >= 5
    assert [group for group in server.states() if "scheduler" in group] == ["demo-scheduler"]


@pytest.mark.parametrize("hidden", ["", "env -i PATH=$PATH "], ids=["known-by-environment", "known-by-lock"])
def test_there_is_one_scheduler_after_supervisord_was_killed(
    server: Server, diary: Diary, supervisord: Callable[[Server], subprocess.Popen[bytes]], hidden: str
) -> None:
    server.configure(processes={"scheduler": hidden + diary.command("scheduler", 1.5), "worker": "sleep 1000"})
    release = server.deploy(files("one")).data["release"]
    orphan = diary.of("scheduler")[-1][2]
    os.kill(server.supervisor.call("getPID"), signal.SIGKILL)
    server.paths.supervisor_socket.unlink()
    supervisord(server)
    server.wait_for(lambda: diary.of("scheduler")[-1][2] != orphan)
    assert diary.assert_one_at_a_time("scheduler") == 2
    second = server.deploy(files("two")).data["release"]
    assert second != release
    assert diary.assert_one_at_a_time("scheduler") == 3


def test_a_scheduler_that_was_left_behind_and_does_not_stop_is_killed(
    server: Server, diary: Diary, supervisord: Callable[[Server], subprocess.Popen[bytes]]
) -> None:
    server.configure(stop_timeout=1, processes={"scheduler": diary.command("scheduler", 99)})
    server.deploy(files("one"))
    orphan = diary.of("scheduler")[-1][2]
    os.kill(server.supervisor.call("getPID"), signal.SIGKILL)
    server.paths.supervisor_socket.unlink()
    supervisord(server)
    server.wait_for(lambda: diary.of("scheduler")[-1][2] != orphan)
    last = max(row[0] for row in diary.of("scheduler") if row[2] == orphan)
    assert last < min(row[0] for row in diary.of("scheduler") if row[2] != orphan)


def test_a_scheduler_runs_on_the_first_host_alone(server: Server) -> None:
    server.configure(first_host=False, processes={"scheduler": "sleep 1000"})
    assert server.deploy(app_files() | {"Procfile": PROCFILE}).ok
    server.settle()
    assert set(server.states()) == {"demo-web-blue", "demo-worker"}
    server.configure(first_host=True)
    assert server.ask("restart").ok
    assert "demo-scheduler" in server.states()


def test_a_program_of_another_app_is_not_written_over(server: Server) -> None:
    other = server.paths.supervisor_conf / "windlass-demo-worker.conf"
    other.write_text(
        f"[program:demo-worker]\ncommand={server.paths.program} launch demo-x 20260101T000000Z-abcdef0 y\n"
    )
    before = other.read_text()
    error = server.deploy().error
    assert error["code"] == "name-taken"
    assert "give the process worker another name" in error["hint"]
    assert other.read_text() == before
