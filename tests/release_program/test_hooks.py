"""Hooks of the server: before and after the phases of a release, as the app."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from conftest import Server, app_files

TELL = 'echo "$WINDLASS_HOOK $WINDLASS_ACTION $WINDLASS_VERSION $WINDLASS_RELEASE $PWD" >> {log}'


def told(log: Path) -> list[list[str]]:
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def test_hooks_run_around_their_phases_and_in_the_release_once_it_is_there(server: Server, tmp_path: Path) -> None:
    log = tmp_path / "log"
    moments = ("before-check", "after-upload", "before-build", "after-build", "before-switch", "after-prune")
    server.configure(hooks={name: TELL.format(log=log) for name in moments})
    first = server.deploy(app_files("one")).data["release"]
    home, folder = str(server.paths.home), str(server.paths.releases / first)
    assert told(log) == [
        ["before-check", "deploy", "main", home],
        ["after-upload", "deploy", "main", first, home],
        ["before-build", "deploy", "main", first, home],
        *([name, "deploy", "main", first, folder] for name in moments[3:]),
    ]
    log.unlink()
    second = server.deploy(app_files("two")).data["release"]
    assert told(log)[0] == ["before-check", "deploy", "main", folder]
    assert told(log)[2] == ["before-build", "deploy", "main", second, folder]
    log.unlink()
    assert server.ask("rollback").ok
    assert told(log)[1:] == [[name, "rollback", "main", first, folder] for name in ("before-switch", "after-prune")]
    log.unlink()
    assert server.ask("restart").ok
    assert told(log) == []


@pytest.mark.parametrize("name", ["before-check", "after-upload", "before-build", "after-probe", "before-switch"])
def test_a_hook_that_fails_before_the_switch_ends_the_deploy_with_nothing_changed(live: Server, name: str) -> None:
    releases = sorted(live.paths.releases.iterdir())
    live.configure(hooks={name: "echo RuntimeError: not today; exit 3"})
    reply = live.deploy(app_files("two"))
    live.configure(hooks={})
    assert reply.error["code"] == "hook-failed"
    assert reply.error["message"] == f"the hook {name} failed with status 3: RuntimeError: not today"
    assert reply.error["phase"] == name.partition("-")[2]
    assert reply.result["switched"] is False
    assert reply.error["log"] == ["RuntimeError: not today"]
    assert live.answers("one")
    assert sorted(live.paths.releases.iterdir()) == releases


def test_a_hook_that_fails_after_the_switch_is_told_and_the_release_stays(server: Server) -> None:
    server.configure(hooks={"after-switch": "exit 4", "before-prune": "kill -9 $$", "after-prune": "true"})
    reply = server.deploy(app_files("one"))
    assert reply.data["failed_hooks"] == ["after-switch", "before-prune"]
    notes = [event["message"] for event in reply.events if event["event"] == "note"]
    assert notes[0] == "the hook after-switch failed with status 4"
    assert server.answers("one")
    assert [item["status"] for item in server.releases()] == ["live"]


def test_a_hook_that_does_not_end_is_stopped_whatever_it_does_with_its_output(
    live: Server,
) -> None:
    text = live.paths.program.read_text()
    live.paths.program.write_text(
        text.replace("sys.exit(", "import windlass.server.hooks as hooks\nhooks.LIMIT = 1\nsys.exit(")
    )
    live.configure(hooks={"before-build": "exec > /dev/null 2>&1; trap '' TERM; sleep 600 & sleep 600"})
    started = time.monotonic()
    reply = live.deploy(app_files("two"))
    live.configure(hooks={})
    live.paths.program.write_text(text)
    assert "had not ended after 1 s" in reply.error["message"]
    assert time.monotonic() - started < 60
    assert live.answers("one")


def test_a_phase_that_is_skipped_has_no_hooks(live: Server) -> None:
    live.configure(hooks={"before-release": "exit 1"})
    assert live.deploy(app_files("one")).ok
    live.configure(hooks={})


def test_a_name_that_is_no_hook_is_refused(live: Server) -> None:
    live.configure(hooks={"before-lunch": "true"})
    reply = live.ask("status")
    live.configure(hooks={})
    assert "before-lunch" in reply.error["message"]
