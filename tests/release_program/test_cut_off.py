"""A switch that is killed, or loses its power, at any point: one release is live afterwards, entire."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest
from conftest import Server, app_files

from windlass.server.rollout import maintenance

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
    ("job.prune", 1),
]
# The same, when the result has been told and the colour that was left is on its way down.
LATER = [
    ("processes.colours.Colours.stop", 2),
    ("processes.supervisor.Supervisor.stop", 2),
    ("rollout.switch.Switch.complete", 1),
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
cut_off_later = pytest.mark.parametrize(("where", "number"), LATER, ids=[name for name, _ in LATER])


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


@cut_off
def test_what_all_its_processes_left_is_cleared_up_though_nobody_asks(
    live: Server, breaking: Callable[..., None], where: str, number: int
) -> None:
    breaking(where, number, "os.kill(os.getppid(), signal.SIGKILL)")
    assert not any(event["event"] == "result" for event in deploy(live)), "it did not die there"
    breaking(where, 0)
    left = live.paths.intent.exists()
    assert bool(live.tidy()) == left
    if left:
        live.wait_for(lambda: is_entire(live), 30)
        assert live.tidy() == ""


def test_a_site_that_was_closed_for_a_moment_is_opened_again_with_its_workers(live: Server) -> None:
    live.settle()
    maintenance.close_for_now(live.paths)
    live.supervisor.stop(["demo-worker"], 5)
    assert "cleared up" in live.tidy()
    assert not live.paths.maintenance.is_symlink()
    live.wait_for(lambda: is_entire(live), 30)


def test_a_site_whose_database_was_being_changed_stays_closed_until_somebody_acts(live: Server) -> None:
    maintenance.close_for_now(live.paths)
    maintenance.database_changes(live.paths)
    assert live.tidy() == "" and live.paths.maintenance.is_symlink()
    assert live.ask("restart").ok
    live.wait_for(lambda: is_entire(live) and not live.paths.maintenance.is_symlink(), 30)


def test_what_its_owner_closed_stays_closed(live: Server) -> None:
    maintenance.turn(live.paths, "ann", on=True)
    assert live.tidy() == "" and live.paths.maintenance.exists()
    maintenance.turn(live.paths, "ann", on=False)


def dies_later(server: Server, breaking: Callable[..., None], where: str, number: int) -> None:
    """Deploy with a program that dies when it has told that all went well."""
    server.settle()
    breaking(where, number)
    said = deploy(server)[-1]
    assert said["ok"] is True, said
    server.settle()
    assert server.paths.intent.exists(), "it did not die there"
    breaking(where, 0)


@cut_off_later
@pytest.mark.parametrize("by", ["the next action", "the timer"])
def test_what_a_program_leaves_that_is_killed_after_its_result_is_cleared_up(
    live: Server, breaking: Callable[..., None], where: str, number: int, by: str
) -> None:
    dies_later(live, breaking, where, number)
    assert live.get() == (200, f"v{live.commits}")
    assert live.tidy() if by == "the timer" else live.ask("restart").ok
    live.wait_for(lambda: is_entire(live), 30)


@cut_off_later
def test_a_power_cut_after_the_result_boots_into_the_new_release_alone(
    live: Server,
    breaking: Callable[..., None],
    supervisord: Callable[[Server], subprocess.Popen[bytes]],
    where: str,
    number: int,
) -> None:
    dies_later(live, breaking, where, number)
    live.lose_power()
    live.boot()
    supervisord(live)
    live.wait_for(lambda: is_entire(live), 30)
    assert live.answers(f"v{live.commits}")
