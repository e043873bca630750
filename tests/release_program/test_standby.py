"""A rollback in the time of a watch: the watcher does it, for it need not start; or else the program itself."""

from __future__ import annotations

import json
import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import Server, app_files

from windlass.server.rollout import standby

# A program that can start processes and hand over, and do nothing itself.
HANDS_OVER = """
from windlass.server.rollout import standby
if not sys.argv[1:]:
    status = standby.hand_over({prefix!r}, sys.stdin.buffer.readline())
    sys.exit(77 if status is None else status)
"""


@pytest.fixture
def watched(server: Server) -> Server:
    server.configure(watch_seconds=60)
    for version in ("one", "two"):
        assert server.deploy(app_files(version)).ok
    return server


@pytest.fixture
def program(watched: Server) -> Iterator[Callable[[str], None]]:
    """Return what puts lines before those with which the program begins."""
    text = watched.paths.program.read_text()

    def put(lines: str) -> None:
        watched.paths.program.write_text(text.replace("from windlass.server.main", lines + "from windlass.server.main"))

    yield put
    watched.paths.program.write_text(text)


def watcher(server: Server) -> int:
    return int(json.loads(server.paths.watch.read_text())["pid"])


def assert_back(server: Server) -> None:
    """Check that visitors have the first release, and that nothing of the second one is left."""
    server.settle()
    assert server.get() == (200, "one")
    assert set(server.states()) == {"demo-web-blue", "demo-worker"}
    assert [item["status"] for item in server.releases()] == ["bad", "live"]
    server.wait_for(lambda: not server.paths.standby.exists())


def test_the_watcher_does_what_the_program_hands_over(watched: Server, program: Callable[[str], None]) -> None:
    program(HANDS_OVER.format(prefix=str(watched.prefix)))
    reply = watched.ask("rollback")
    assert (reply.ok, reply.status) == (True, 0), reply.stderr
    assert "start skipped" in reply.phases()
    program("")
    assert_back(watched)


def test_a_rollback_that_the_watcher_refuses_leaves_the_watch_as_it_was(
    watched: Server, program: Callable[[str], None]
) -> None:
    program(HANDS_OVER.format(prefix=str(watched.prefix)))
    refused = watched.ask("rollback", to="20200101T000000Z-abcdef0")
    assert (refused.error["code"], refused.status) == ("no-such-release", 1)
    assert watched.ask("rollback", to=7).error["code"] == "bad-request"
    assert watched.ask("status").status == 77
    assert watched.ask("rollback").ok
    program("")
    assert_back(watched)


def test_a_client_can_take_back_what_the_watcher_does(watched: Server, program: Callable[[str], None]) -> None:
    watched.configure(hooks={"before-switch": "true", "after-probe": "sleep 60"})
    program(HANDS_OVER.format(prefix=str(watched.prefix)))
    process = watched.popen({"action": "rollback"})
    assert process.stdin and process.stdout
    next(line for line in process.stdout if b'"probe"' in line)
    last = process.communicate(b"cancel\n", timeout=20)[0].splitlines()[-1]
    assert json.loads(last)["error"]["code"] == "cancelled"
    assert process.returncode == 1
    program("")
    assert watched.get() == (200, "two")


def test_another_program_than_the_watchers_does_it_itself(watched: Server, program: Callable[[str], None]) -> None:
    program("from windlass.server.rollout import standby\nstandby.GREETING = b'another'\n")
    assert watched.ask("rollback").ok
    assert_back(watched)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """Return a directory whose name leaves room: a socket's path has 107 characters at most."""
    with tempfile.TemporaryDirectory(prefix="wl-") as folder:
        yield Path(folder)


@pytest.mark.parametrize("reads", [True, False])
def test_a_watcher_that_goes_before_it_has_read_the_line_is_done_without(short_path: Path, reads: bool) -> None:
    """Not so one that has read it, and may have begun."""
    folder = short_path / "var/lib/windlass/demo_app"
    folder.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(folder / standby.NAME))
        listener.listen(1)

        def greet() -> None:
            with listener.accept()[0] as asked:
                asked.send(standby.GREETING)
                if reads:
                    asked.recv(standby.LIMIT)

        with ThreadPoolExecutor() as pool:
            pool.submit(greet)
            status = standby.hand_over(short_path, b'{"action": "rollback", "app": "demo_app"}')
    assert status == (1 if reads else None)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_watcher_that_does_not_answer_is_done_without(watched: Server, number: int) -> None:
    pid = watcher(watched)
    os.kill(pid, number)
    try:
        assert watched.ask("rollback").ok
    finally:
        os.kill(pid, signal.SIGCONT)
    watched.settle()
    assert watched.get() == (200, "one")
    assert set(watched.states()) == {"demo-web-blue", "demo-worker"}
