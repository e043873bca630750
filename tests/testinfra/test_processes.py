"""What an app runs beside its web server: jobs are finished, a scheduler is one, and commands run at their times."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import playbook
from tests.support.fab import Fab
from tests.support.repository import Repository
from tests.support.server import Server, wait_for

DIARY = "/srv/rota/shared/diary/{}"
APP = """\
def app(environ, start_response):
    start_response("200 OK", [])
    return [b"version 1"]
"""
# Writes a line at its start, every 20 ms, and at its end, some seconds after SIGTERM; `long` ends when told.
DIARIST = """\
import os, signal, sys, time

name, job = sys.argv[1], float(sys.argv[2])
folder = os.path.dirname(os.path.abspath(__file__))
told = []

def say(what):
    with open(os.path.join(folder, "diary", name), "a") as diary:
        diary.write(f"{time.time():.2f} {what} {os.getpid()} {os.path.basename(folder)}\\n")

signal.signal(signal.SIGTERM, lambda *_: told or told.append(time.time()))
say("start")
while not told or time.time() < told[0] + job:
    say("tick")
    time.sleep(0.02)
    os.stat(__file__)  # its release is there
    if name == "long" and os.path.exists(os.path.join(folder, "diary", "enough")):
        break
say("stop")
"""


@dataclass(frozen=True)
class Line:
    """One line of a diary."""

    time: float
    what: str
    pid: int
    release: str


@dataclass(frozen=True)
class Rota:
    """The app, and its two servers."""

    fab: Fab
    repository: Repository
    one: Server
    two: Server

    def release(self) -> str:
        """Release a new version, and return the release's name."""
        self.repository.write("version", f"{time.time()}\n")
        self.repository.commit("Another version")
        self.fab.succeed("deploy")
        return str(self.status()["release"])

    def status(self) -> dict:
        """Return what runs on the first server."""
        return self.fab.json("status")[0]

    def diary(self, name: str, server: Server | None = None) -> list[Line]:
        """Return what a process wrote down."""
        text = (server or self.one).run(f"cat {DIARY.format(name)} 2>/dev/null || true")
        rows = [line.split() for line in text.splitlines()]
        return [Line(float(row[0]), row[1], int(row[2]), row[3]) for row in rows]

    def forget(self) -> None:
        """Begin new diaries."""
        self.one.run(f"truncate --no-create --size 0 {DIARY.format('*')} 2>/dev/null || true")

    def log(self) -> str:
        """Return the app's log on the first server, without the numbers of the processes."""
        return re.sub(r"\[\d+\]:", ":", self.one.run("cat /var/log/rota/app.log"))

    def assert_one_at_a_time(self, name: str) -> int:
        """Hold a process to it: nobody writes once another has begun. Return how many there were."""
        pids = [line.pid for line in self.diary(name)]
        turns = [pid for index, pid in enumerate(pids) if index == 0 or pids[index - 1] != pid]
        assert len(turns) == len(set(turns)), f"two at a time: {turns}"
        return len(turns)


@pytest.fixture(scope="session")
def rota(inventory: Path, fab: Fab) -> Rota:
    repository = Repository(inventory / "repositories" / "rota")
    if not repository.path.exists():
        repository.path.mkdir(parents=True)
        repository.git("init", "--quiet", "--initial-branch=main")
    for name, text in (("app.py", APP), ("diarist.py", DIARIST), ("requirements.txt", "gunicorn\n")):
        repository.write(name, text)
    servers = Server.all_of(inventory)
    found = Rota(fab, repository, servers["one"], servers["two"])
    found.release()
    return found


@pytest.fixture
def main(inventory: Path) -> Iterator[Path]:
    """Return the file with the app's entry; a test may change it."""
    path = inventory / "group_vars/all/main.yml"
    before = path.read_text()
    yield path
    path.write_text(before)


def provision(inventory: Path) -> str:
    """Run the role of the apps; return what was printed."""
    return playbook.succeed(inventory, "--tags", "app")


def assert_unchanged(main: Path) -> None:
    """Hold a run of Ansible to it that there is nothing to change."""
    printed = provision(main.parents[2])
    assert printed.count("changed=0") == 2, printed


def test_a_job_in_hand_is_finished_and_keeps_the_scheduler_from_nothing(rota: Rota):
    first = rota.status()["release"]
    rota.forget()
    second = rota.release()
    worker = {(line.what, line.release): line.time for line in rota.diary("worker")}
    scheduler = {(line.what, line.release): line.time for line in rota.diary("scheduler")}
    assert worker["stop", first] > scheduler["start", second] + 2, "it was not in the middle of a job"
    assert worker["start", second] > worker["stop", first]
    assert {row["release"] for row in rota.status()["processes"]} == {second}


def test_there_is_one_scheduler_for_both_servers_whatever_happens(rota: Rota):
    rota.forget()
    rota.release()
    rota.one.run("kill -9 $(cat /run/supervisord.pid)")
    wait_for(lambda: "RUNNING" in rota.one.try_run("supervisorctl status").stdout, 60, "Supervisor came back")
    rota.repository.write("app.py", "raise RuntimeError('no')\n")
    rota.repository.commit("Broken")
    assert rota.fab("deploy").status == 1
    rota.repository.write("app.py", APP)
    last = rota.release()
    wait_for(lambda: rota.diary("scheduler")[-1].release == last, 20, "the scheduler of the last release")
    assert rota.assert_one_at_a_time("scheduler") >= 4
    assert rota.diary("scheduler", rota.two) == []
    assert "rota-scheduler" not in rota.two.run("supervisorctl status")
    assert "rota-worker" in rota.two.run("supervisorctl status")


def test_processes_are_scaled_in_the_inventory_and_on_the_servers_at_once(rota: Rota, main: Path):
    before = {row["name"]: row["pid"] for row in rota.status()["processes"]}
    written = main.read_text()
    printed = rota.fab.succeed("scale", "worker=3").output
    assert re.search(r"^one +worker +3$", printed, re.MULTILINE), printed
    assert main.read_text() == written.replace("scale: {worker: 1} # the", "scale: {worker: 3} # the")
    after = {row["name"]: row["pid"] for row in rota.status()["processes"]}
    assert after == {**before, "worker.2": after["worker.2"], "worker.3": after["worker.3"]}
    assert_unchanged(main)
    assert rota.fab("scale", "scheduler=2").status == 2
    assert rota.fab("scale", "wroker=2").status == 2
    rota.fab.succeed("scale", "worker=1")
    assert main.read_text() == written
    assert {row["name"]: row["pid"] for row in rota.status()["processes"]} == before


def test_a_scheduled_command_runs_at_its_times_on_the_first_server_alone_as_the_app(rota: Rota):
    live = rota.status()["release"]
    wait_for(lambda: rota.log().count(f"rota-cron-often: often in {live}") >= 2, 60, "it ran twice")
    assert "rota-cron-often: rota\n" in rota.log()
    assert "windlass-rota-often.timer" in rota.one.run("systemctl list-timers --no-pager")
    assert "windlass-rota" not in rota.two.run("systemctl list-unit-files --no-pager; ls /etc/systemd/system")
    jobs = {job["name"]: job for job in rota.status()["cron"]}
    assert jobs["often"]["result"] in ("ok", "running")
    assert jobs["broken"]["next"].endswith("T03:00:00Z")
    assert "often" in rota.fab.succeed("status").output


def test_a_scheduled_command_goes_on_with_its_release_through_deploys(rota: Rota):
    begun = rota.status()["release"]
    rota.forget()
    rota.one.run(f"rm -f {DIARY.format('enough')}")
    rota.one.run("systemctl start --no-block windlass-rota-long.service")
    wait_for(lambda: rota.diary("long"), 20, "it began")
    rota.one.run("windlass cron rota long")
    wait_for(lambda: "rota-cron-long: long still runs: it is not started a second time" in rota.log(), 20, "the line")
    for _ in range(2):
        assert rota.release() != begun
    rota.one.run(f"test -d /srv/rota/releases/{begun}")
    rota.one.run(f"touch {DIARY.format('enough')}")
    wait_for(lambda: rota.diary("long")[-1].what == "stop", 60, "it ended")
    assert {line.release for line in rota.diary("long")} == {begun}
    assert rota.assert_one_at_a_time("long") == 1
    rota.release()
    rota.one.run(f"test ! -e /srv/rota/releases/{begun}")


@pytest.mark.parametrize(
    ("job", "said"),
    [("broken", "broken failed with status 1"), ("endless", "endless was ended after 2 s, its timeout")],
)
def test_a_scheduled_command_that_fails_is_heard_of(rota: Rota, job: str, said: str):
    rota.one.run(f"rm -f /var/mail/admin /var/lib/windlass/rota/cron-{job}.json")
    assert rota.one.try_run(f"systemctl start windlass-rota-{job}.service").returncode == 1
    wait_for(lambda: said in rota.one.run("cat /var/mail/admin || true"), 60, "the mail")
    if job == "broken":
        assert "no such shelf" in rota.one.run("cat /var/mail/admin")
    wait_for(lambda: f"windlass: {said}" in rota.log(), 30, "the line in the log")
    rows = {row["name"]: row for row in rota.status()["cron"]}
    assert rows[job]["result"] == said
    assert rota.one.try_run(f"systemctl start windlass-rota-{job}.service").returncode == 1
    assert rota.one.run("grep -c ^Subject: /var/mail/admin").strip() == "1"


def test_what_is_scheduled_no_longer_is_removed_from_the_server(rota: Rota, main: Path):
    written = main.read_text()
    main.write_text(written.replace("{name: broken, schedule: 0 3 * * *", "{name: other, schedule: 0 4 * * mon"))
    pids = {row["name"]: row["pid"] for row in rota.status()["processes"]}
    provision(main.parents[2])
    timers = rota.one.run("systemctl list-timers --all --no-pager; ls /etc/systemd/system")
    assert "windlass-rota-other.timer" in timers and "broken" not in timers
    assert {row["name"]: row["pid"] for row in rota.status()["processes"]} == pids, "nothing had to start anew"
    main.write_text(written)
    provision(main.parents[2])
    assert_unchanged(main)
