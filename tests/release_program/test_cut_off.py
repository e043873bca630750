"""A switch that is killed, or loses its power, at any point: one release is live afterwards, entire."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest
from conftest import Server, app_files

# Where the release program dies: a function of it, and at which call.
POINTS = [
    ("rollout.switch.Intent.write", 1),
    ("files.replace_link", 1),
    ("files.replace_link", 2),
    ("files.replace_link", 3),
    ("rollout.links.flag_green", 1),
    ("rollout.rollout.Rollout._verify_front", 1),
    ("rollout.switch.commit", 1),
    ("processes.workers.Workers.replace", 1),
    ("processes.workers.Workers._exchange", 1),
    ("processes.workers.Workers.check", 1),
    ("rollout.switch.Switch.complete", 1),
    ("job.prune", 1),
]
DIES = """
import os, signal
import windlass.server.{module} as module
owner = module{owner}
original = owner.{name}
calls = []
def dies(*arguments, **named):
    calls.append(1)
    if len(calls) == {number} and os.getpid() == os.getsid(0):
        {first}
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **named)
owner.{name} = dies
"""
cut_off = pytest.mark.parametrize(("where", "number"), POINTS, ids=[f"{name}-{number}" for name, number in POINTS])


@pytest.fixture
def breaking(live: Server) -> Iterator[Callable[[str, int, str], None]]:
    """Return what makes the release program die at a point; it is mended afterwards."""
    program = live.paths.program.read_text()

    def put(where: str, number: int, first: str = "pass") -> None:
        *path, name = where.split(".")
        module = ".".join(part for part in path if part.islower())
        owner = "".join(f".{part}" for part in path if not part.islower())
        code = DIES.format(module=module, owner=owner, name=name, number=number, first=first)
        live.paths.program.write_text(program.replace("from windlass.server.main", code + "from windlass.server.main"))

    yield put
    live.paths.program.write_text(program)


def is_entire(server: Server) -> bool:
    """Say whether web, workers, links and files are of one release."""
    status = server.ask("status").data
    carried = [item["release"] for item in status["processes"]]
    version = next(item["version"] for item in server.releases() if item["release"] == status["release"])
    return (
        carried == [status["release"]] * 2
        and server.answers(version.replace("main", "one"))
        and set(server.states()) == {f"demo-web-{status['colour']}", "demo-worker"}
        and server.paths.green.exists() == (status["colour"] == "green")
        and not server.paths.intent.exists()
    )


def deploy(server: Server) -> list[dict[str, object]]:
    version = f"v{server.commits + 1}"
    return server.deploy(app_files(version), version=version).events


@cut_off
def test_a_program_that_is_killed_is_cleared_up_after_at_once(
    live: Server, breaking: Callable[..., None], where: str, number: int
) -> None:
    breaking(where, number)
    said = deploy(live)[-1]
    assert said["ok"] is False, "it did not die there"
    live.wait_for(lambda: is_entire(live), 30)


@cut_off
def test_a_server_that_loses_power_boots_into_one_release(
    live: Server,
    breaking: Callable[..., None],
    supervisord: Callable[[Server], subprocess.Popen[bytes]],
    where: str,
    number: int,
) -> None:
    breaking(where, number, "os.kill(os.getppid(), signal.SIGKILL)")
    assert not any(event["event"] == "result" for event in deploy(live)), "it did not die there"
    live.lose_power()
    live.boot()
    supervisord(live)
    live.wait_for(lambda: is_entire(live), 30)
