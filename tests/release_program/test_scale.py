"""Scaling: what differs starts or stops, and all else is left alone."""

from __future__ import annotations

import json
import os
import time

import pytest
from conftest import Server


def pids(server: Server) -> dict[str, int]:
    return {process.group.removeprefix("demo-"): process.pid for process in server.supervisor.processes()}


@pytest.fixture
def scaled(server: Server) -> Server:
    server.configure(
        health_timeout=30,
        watch_seconds=0,
        processes={"web": "gunicorn demo:app", "worker": "sleep 1000", "clock": "sleep 1000"},
    )
    server.paths.settings.write_text(json.dumps(server.settings, indent=4, sort_keys=True) + "\n")
    assert server.deploy().ok
    return server


def test_more_and_fewer_of_one_process_leave_all_others_alone(scaled: Server) -> None:
    before = pids(scaled)
    reply = scaled.ask("scale", counts={"worker": 3})
    assert reply.data["counts"]["worker"] == 3
    scaled.settle()
    after = pids(scaled)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"worker.2", "worker.3"}
    assert reply.phases() == ["check done", "retire done"]
    scaled.ask("scale", counts={"worker": 2})
    assert {name for name in pids(scaled) if name.startswith("worker")} == {"worker", "worker.2"}
    scaled.ask("scale", counts={"worker": 0})
    assert pids(scaled) == {name: pid for name, pid in before.items() if name != "worker"}
    assert scaled.ask("scale").data["counts"]["worker"] == 0
    assert [path.name for path in scaled.paths.supervisor_conf.glob("*worker*")] == []
    written = scaled.paths.settings.read_text()
    wanted = json.dumps(scaled.settings | {"scale": {"worker": 0}}, indent=4, sort_keys=True) + "\n"
    assert written == wanted
    assert os.stat(scaled.paths.settings).st_mode & 0o777 == 0o644  # noqa: PTH116


def test_what_stays_does_not_count_as_started_with_former_settings(scaled: Server) -> None:
    time.sleep(2)  # Supervisor knows the second alone
    assert scaled.ask("scale", counts={"worker": 2}).ok
    assert scaled.stale() == {"follows": [], "leads": []}
    scaled.set_env(COLOUR="red")
    assert scaled.ask("scale", counts={"worker": 1}).ok
    assert scaled.stale() == {"follows": [], "leads": ["demo"]}


def test_the_workers_of_the_web_server_change_without_a_gap(scaled: Server) -> None:
    before = pids(scaled)
    reply = scaled.ask("scale", counts={"web": 4})
    assert "switch done" in reply.phases()
    assert scaled.get() == (200, "one")
    scaled.settle()
    after = pids(scaled)
    assert {name: after[name] for name in ("worker", "clock")} == {name: before[name] for name in ("worker", "clock")}
    web = next(item["pid"] for item in scaled.ask("status").data["processes"] if item["name"].startswith("web"))
    with open(f"/proc/{web}/environ") as file:  # noqa: PTH123
        assert "WEB_CONCURRENCY=4" in file.read().split("\0")
    assert reply.data["counts"]["web"] == 4


def test_a_count_that_cannot_be_reached_is_undone(scaled: Server) -> None:
    marker = scaled.prefix / "full"
    command = f"if [ -e {marker} ]; then exit 3; else exec sleep 1000; fi"
    scaled.configure(processes=scaled.settings["processes"] | {"worker": command})  # type: ignore[operator]
    assert scaled.ask("restart").ok
    scaled.settle()
    marker.touch()
    before, written = pids(scaled), scaled.paths.settings.read_text()
    error = scaled.ask("scale", counts={"worker": 2}).error
    assert error["code"] == "worker-failed"
    assert pids(scaled) == before
    assert scaled.paths.settings.read_text() == written


@pytest.mark.parametrize("counts", [{"wroker": 2}, {"release": 1}, {"worker": 101}, {"worker": True}, {"a b": 1}, [1]])
def test_a_wrong_count_is_refused(live: Server, counts: object) -> None:
    before = live.paths.settings.read_text()
    assert live.ask("scale", counts=counts).error["code"] in ("unknown-process", "bad-request")
    assert live.paths.settings.read_text() == before


def test_before_the_first_release_there_is_nothing_to_scale(server: Server) -> None:
    assert server.ask("scale", counts={"worker": 2}).error["code"] == "not-deployed"
    assert server.ask("scale").error["code"] == "not-deployed"


def test_a_deploy_under_way_keeps_scaling_out(live: Server) -> None:
    other = live.popen(live.deploy_request(b"x" * 1000))
    live.wait_for(lambda: live.ask("status").data["deploy"] is not None)
    assert live.ask("scale", counts={"worker": 2}).error["code"] == "locked"
    assert live.ask("scale").data["counts"]["worker"] == 1
    other.communicate(timeout=30)
