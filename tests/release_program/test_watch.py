"""The time after a deploy: the old release is kept ready, and takes over from one that fails."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable

import pytest
from conftest import Server, app_files, archive_of

# Once the file is there, the release fails in the way that the test asks for.
BREAKS = """
    import pathlib, signal
    if path == "/break":
        pathlib.Path(os.environ["BREAK"]).touch()
    if VERSION == "two" and pathlib.Path(os.environ["BREAK"]).exists():
        {how}
"""
LINE = (
    '203.0.113.9 - - [21/Nov/2026:10:00:00 +0000] "GET /{path} HTTP/2.0" {status} 12 "-" "curl/8"'
    " demo.example.com {more}\n"
)


@pytest.fixture
def watched(server: Server) -> Server:
    server.configure(watch_seconds=60)
    server.set_env(BREAK=str(server.prefix / "break"))
    assert server.deploy(app_files("one")).ok
    return server


def breaking(how: str = "pass", **more: str) -> dict[str, str]:
    return app_files("two", health=BREAKS.format(how=how).strip()) | more


def is_back(server: Server) -> Callable[[], bool]:
    def check() -> bool:
        status = server.ask("status").data
        return status["watch"] is None and status["deploy"] is None and status["release"] == first(server)

    return check


def first(server: Server) -> str:
    return str(server.releases()[-1]["release"])


def watcher(server: Server) -> int:
    return int(json.loads(server.paths.watch.read_text())["pid"])


def log_answers(server: Server, status: int, count: int, more: str = "0.004 0.004") -> None:
    server.paths.access_log.parent.mkdir(exist_ok=True)
    with server.paths.access_log.open("a") as file:
        file.write("".join(LINE.format(path=number, status=status, more=more) for number in range(count)))


def test_a_deploy_returns_at_once_and_the_old_release_stays_ready_until_the_watch_ends(watched: Server) -> None:
    watched.configure(watch_seconds=10)
    reply = watched.deploy(app_files("two"))
    old, new = first(watched), reply.data["release"]
    assert any("is watched for 10 s" in str(event.get("message")) for event in reply.events)
    status = watched.ask("status").data
    assert (status["watch"]["release"], status["watch"]["old"]) == (new, old)
    assert status["deploy"] is None
    assert watched.states()["demo-web-blue"] == "RUNNING"
    assert watched.paths.previous.readlink().name == old
    watched.wait_for(lambda: not watched.paths.watch.exists(), 40)
    assert set(watched.states()) == {"demo-web-green", "demo-worker"}
    assert watched.releases()[0]["watched"] == "ok"
    assert watched.get() == (200, "two")


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("os.kill(os.getppid(), 9)", "its web process ended"),
        ('start_response("500 Broken", []); return [b"broken"]', "the health path / answered 500, 3 times in a row"),
    ],
    ids=["crash", "health"],
)
def test_a_release_that_fails_after_the_switch_is_taken_back_by_itself(watched: Server, how: str, reason: str) -> None:
    new = watched.deploy(breaking(how)).data["release"]
    try:
        watched.get("/break")
    except OSError:
        assert "kill" in how
    watched.wait_for(is_back(watched), 30)
    assert watched.get() == (200, "one")
    newest = watched.releases()[0]
    assert (newest["release"], newest["status"], newest["watched"]) == (new, "bad", "switched-back")
    assert reason in newest["error"]
    status = watched.ask("status").data
    assert reason in status["switched_back"]["reason"]
    assert {item["release"] for item in status["processes"]} == {status["release"]}
    (watched.prefix / "break").unlink()
    assert watched.deploy(app_files("three")).ok


def test_whoever_stays_for_the_watch_is_told_that_it_was_switched_back(watched: Server) -> None:
    data = archive_of(breaking("os.kill(os.getppid(), 9)"))
    request = watched.deploy_request(data) | {"watch": True}
    process = watched.popen(request)
    assert process.stdin
    process.stdin.write(data)
    process.stdin.flush()
    watched.wait_for(watched.paths.watch.exists, 30)
    assert process.poll() is None
    (watched.prefix / "break").touch()
    with contextlib.suppress(OSError):
        watched.get()
    out, _ = process.communicate(timeout=40)
    result = json.loads(out.splitlines()[-1])
    assert (result["ok"], result["switched"], result["error"]["code"]) == (False, True, "switched-back")
    assert process.returncode == 1


def test_answers_with_5xx_take_a_release_back_when_there_are_more_than_before(watched: Server) -> None:
    log_answers(watched, 200, 95)
    log_answers(watched, 502, 5)
    watched.deploy(app_files("two")).data  # noqa: B018
    log_answers(watched, 500, 9)
    log_answers(watched, 503, 100, more="0.000 -")  # maintenance mode: nginx says so, not the app
    time.sleep(1)
    assert watched.ask("status").data["watch"] is not None
    log_answers(watched, 500, 1)
    watched.wait_for(is_back(watched), 20)
    assert "10 of 10 answers were 5xx" in watched.releases()[0]["error"]


def test_a_release_that_fails_no_more_than_the_one_before_stays(watched: Server) -> None:
    log_answers(watched, 500, 60)
    watched.configure(watch_seconds=2)
    watched.deploy(app_files("two")).data  # noqa: B018
    log_answers(watched, 500, 60)
    watched.wait_for(lambda: not watched.paths.watch.exists(), 15)
    assert watched.get() == (200, "two")


def test_a_worker_that_ends_again_and_again_takes_the_release_back(watched: Server) -> None:
    worker = "import time\ntime.sleep(0.8)\nraise SystemExit(3)\n"
    watched.deploy(app_files("two") | {"worker.py": worker}).data  # noqa: B018
    watched.wait_for(is_back(watched), 40)
    assert "its process worker ended again and again" in watched.releases()[0]["error"]
    assert watched.get() == (200, "one")


def test_a_rollback_while_the_old_release_is_warm_starts_nothing_and_takes_a_moment(watched: Server) -> None:
    old = first(watched)
    pid = next(item.pid for item in watched.supervisor.processes() if item.group == "demo-web-blue")
    new = watched.deploy(app_files("two")).data["release"]
    watching = watcher(watched)
    reply = watched.ask("rollback")
    assert reply.data["release"] == old
    assert "start skipped" in reply.phases()
    assert next(item.pid for item in watched.supervisor.processes() if item.group == "demo-web-blue") == pid
    assert watched.get() == (200, "one")
    assert watched.releases()[0]["status"] == "bad"
    watched.wait_for(lambda: has_ended(watching))
    watched.settle()
    assert set(watched.states()) == {"demo-web-blue", "demo-worker"}
    assert watched.releases()[0]["release"] == new


def has_ended(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_release_stays_when_the_one_before_is_not_well_either(watched: Server) -> None:
    new = watched.deploy(breaking("os.kill(os.getppid(), 9)")).data["release"]
    os.killpg(
        next(item.pid for item in watched.supervisor.processes() if item.group == "demo-web-blue"), signal.SIGSTOP
    )
    (watched.prefix / "break").touch()
    with contextlib.suppress(OSError):
        watched.get()
    (watched.prefix / "break").unlink()
    watched.wait_for(lambda: watched.releases()[0].get("watched") == "failed", 60)
    watched.wait_for(lambda: set(watched.states()) == {"demo-web-green", "demo-worker"}, 60)
    assert watched.ask("status").data["release"] == new
    watched.wait_for(lambda: watched.answers("two"))


def test_a_release_that_a_process_carries_is_not_pruned(watched: Server) -> None:
    watched.configure(keep_releases=1, watch_seconds=0)
    job = watched.popen({"action": "run", "command": "echo begun; exec sleep 60"})
    assert job.stdout
    job.stdout.readline()
    for version in ("two", "three", "four"):
        watched.deploy(app_files(version)).data  # noqa: B018
    watched.settle()
    there = sorted(path.name for path in watched.paths.releases.iterdir())
    known = [item["release"] for item in reversed(watched.releases())]
    assert there == [known[0], *known[-2:]]
    job.kill()
    job.communicate()
    watched.wait_for(lambda: first(watched) not in carriers(watched))
    watched.deploy(app_files("five")).data  # noqa: B018
    watched.settle()
    assert known[0] not in {path.name for path in watched.paths.releases.iterdir()}


def test_the_next_deploy_takes_over_from_the_watch(watched: Server) -> None:
    watched.deploy(app_files("two")).data  # noqa: B018
    watching = watcher(watched)
    third = watched.deploy(app_files("three")).data["release"]
    watched.wait_for(lambda: has_ended(watching))
    status = watched.ask("status").data
    assert status["watch"]["release"] == third
    assert watcher(watched) != watching
    assert watched.get() == (200, "three")


def test_a_deploy_that_fails_before_it_starts_leaves_the_watch_alone(watched: Server) -> None:
    new = watched.deploy(app_files("two")).data["release"]
    assert not watched.deploy(app_files() | {"requirements.txt": "windlass-no-such-package==9\n"}).ok
    assert watched.ask("status").data["watch"]["release"] == new


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_watcher_that_is_ended_is_cleared_up_by_the_next_deploy(watched: Server, number: int) -> None:
    watched.deploy(app_files("two")).data  # noqa: B018
    os.kill(watcher(watched), number)
    watched.wait_for(lambda: watched.ask("status").data["watch"] is None)
    assert watched.get() == (200, "two")
    watched.configure(watch_seconds=0)
    assert watched.deploy(app_files("three")).ok
    watched.settle()
    assert set(watched.states()) == {"demo-web-blue", "demo-worker"}
    assert not watched.paths.watch.exists()


def test_after_a_killed_watcher_the_release_before_ends_though_nobody_asks(watched: Server) -> None:
    watched.deploy(app_files("two")).data  # noqa: B018
    assert watched.tidy() == "", "somebody watches still"
    assert set(watched.states()) == {"demo-web-blue", "demo-web-green", "demo-worker"}
    os.kill(watcher(watched), signal.SIGKILL)
    watched.wait_for(lambda: watched.ask("status").data["watch"] is None)
    assert "cleared up" in watched.tidy()
    assert set(watched.states()) == {"demo-web-green", "demo-worker"}
    assert watched.get() == (200, "two") and not watched.paths.watch.exists()


def test_a_watch_ends_when_supervisord_is_restarted(
    watched: Server, supervisord: Callable[[Server], subprocess.Popen[bytes]]
) -> None:
    watched.deploy(app_files("two")).data  # noqa: B018
    os.kill(watched.supervisor.call("getPID"), signal.SIGKILL)
    watched.paths.supervisor_socket.unlink()
    watched.boot()
    supervisord(watched)
    watched.wait_for(lambda: watched.states() == {"demo-web-green": "RUNNING", "demo-worker": "RUNNING"}, 20)
    watched.wait_for(lambda: watched.answers("two"))
    assert watched.ask("status").data["watch"] is None
    watched.wait_for(lambda: carriers(watched) == {watched.releases()[0]["release"]}, 20)


def carriers(server: Server) -> set[str]:
    from windlass.server.processes.carriers import carried

    return carried(server.paths)


def test_a_power_cut_in_a_watch_boots_into_the_new_release_alone(
    watched: Server, supervisord: Callable[[Server], subprocess.Popen[bytes]]
) -> None:
    new = watched.deploy(app_files("two")).data["release"]
    os.kill(watcher(watched), signal.SIGKILL)
    watched.lose_power()
    watched.boot()
    supervisord(watched)
    watched.wait_for(lambda: watched.states() == {"demo-web-green": "RUNNING", "demo-worker": "RUNNING"}, 20)
    watched.wait_for(lambda: watched.answers("two"))
    status = watched.ask("status").data
    assert (status["release"], status["watch"]) == (new, None)
    assert watched.deploy(app_files("three")).ok
