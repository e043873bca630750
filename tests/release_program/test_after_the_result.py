"""What goes on when the result has been told: the web processes that visitors have left come to their end."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator

import pytest
from conftest import Server, app_files

from windlass.server.processes import sockets

SLOW = 'if path == "/slower":\n        time.sleep(4)'
COLOURS = {"demo-web-blue", "demo-web-green"}


@pytest.fixture
def two(server: Server) -> Server:
    """Return a server with two releases, the newer one live, of an app with a path that takes four seconds."""
    server.configure(stop_timeout=10)
    for version in ("one", "two"):
        assert server.deploy(app_files(version, health=SLOW)).ok
    server.settle()
    return server


@pytest.fixture
def visitor(two: Server) -> Iterator[Callable[[], tuple[int, str]]]:
    """Have a visitor wait for a slow answer of the newer release; return what gives that answer."""
    answers: list[tuple[int, str]] = []
    asking = threading.Thread(target=lambda: answers.append(two.get("/slower")))
    asking.start()
    two.wait_for(lambda: sockets.connections(two.paths.socket("green")) > 0)

    def answer() -> tuple[int, str]:
        asking.join(timeout=20)
        return answers[0]

    yield answer
    asking.join(timeout=20)


def test_a_rollback_is_told_before_the_release_that_it_left_has_ended_and_who_waits_there_is_answered(
    two: Server, visitor: Callable[[], tuple[int, str]]
) -> None:
    reply = two.ask("rollback")
    assert reply.ok
    assert set(two.states()) >= COLOURS
    status = two.ask("status").data
    assert (status["deploy"], status["release"]) == (None, reply.data["release"])
    assert two.get() == (200, "one")
    assert visitor() == (200, "two")
    two.settle()
    assert set(two.states()) == {"demo-web-blue", "demo-worker"}
    assert not two.paths.intent.exists()


@pytest.mark.parametrize("action", ["restart", "deploy"])
def test_who_comes_before_that_end_waits_for_it_and_is_not_refused(
    two: Server, visitor: Callable[[], tuple[int, str]], action: str
) -> None:
    two.ask("rollback").data  # noqa: B018
    assert set(two.states()) >= COLOURS
    assert all(check["ok"] for check in two.ask("check").data["checks"])
    assert two.deploy(app_files("three"), action="plan").ok
    reply = two.deploy(app_files("three")) if action == "deploy" else two.ask("restart")
    assert reply.ok, reply.result
    notes = [event["message"] for event in reply.events if event["event"] == "note"]
    assert any("done but for the end of the web before it" in note for note in notes), notes
    assert visitor() == (200, "two")
    assert two.get() == (200, "three" if action == "deploy" else "one")
    two.settle()
    assert set(two.states()) == {"demo-web-green", "demo-worker"}


def test_a_release_that_is_pruned_is_gone_for_everybody_at_once_and_from_the_disk_afterwards(two: Server) -> None:
    two.configure(keep_releases=1)
    first = two.releases()[-1]["release"]
    assert two.deploy(app_files("three")).ok
    assert first not in {item["release"] for item in two.releases()}
    two.settle()
    names = {path.name for path in two.paths.releases.iterdir()}
    assert names == {item["release"] for item in two.releases()}
    assert len(names) == 2


def test_a_client_that_takes_it_back_too_late_changes_nothing(two: Server) -> None:
    process = two.popen({"action": "rollback"})
    assert process.stdin and process.stdout
    begun = next(event for event in map(json.loads, process.stdout) if event.get("phase") == "retire")
    assert begun["status"] == "start"
    process.communicate(b"cancel\n", timeout=30)
    assert process.returncode == 0
    two.settle()
    assert set(two.states()) == {"demo-web-blue", "demo-worker"}
    assert two.get() == (200, "one")
