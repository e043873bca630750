from __future__ import annotations

from conftest import Server, app_files


def test_a_deploy_serves_its_release_and_runs_its_worker(server: Server) -> None:
    reply = server.deploy(app_files("one"))
    release = reply.data["release"]
    assert server.get() == (200, "one")
    assert reply.phases()[:3] == ["check done", "upload done", "build done"]
    status = server.ask("status").data
    assert {item["name"] for item in status["processes"]} == {"web-blue", "worker"}
    assert {item["release"] for item in status["processes"]} == {release}


def test_a_second_deploy_and_a_rollback_each_change_what_is_served(server: Server) -> None:
    first = server.deploy(app_files("one")).data["release"]
    second = server.deploy(app_files("two")).data["release"]
    assert server.get() == (200, "two")
    assert set(server.states()) == {"demo-web-green", "demo-worker"}
    reply = server.ask("rollback")
    assert reply.data["release"] == first
    assert server.get() == (200, "one")
    assert {item["release"]: item["status"] for item in server.releases()} == {first: "live", second: "bad"}
