"""Work that outlives its client."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from conftest import PROCFILE, Server, app_files, archive_of


def test_a_deploy_goes_on_when_its_client_is_killed(live: Server) -> None:
    data = archive_of(app_files("two"))
    process = live.popen(live.deploy_request(data))
    assert process.stdin and process.stdout
    process.stdin.write(data)
    process.stdin.flush()
    live.wait_for(lambda: "build" in (live.paths.state / "lock").read_text())
    process.kill()
    process.communicate()
    live.wait_for(lambda: live.ask("status").data["deploy"] is None, 20)
    assert live.get() == (200, "two")
    assert live.releases()[0]["status"] == "live"


def in_release_command(live: Server, command: str) -> subprocess.Popen[bytes]:
    """Begin a deploy, and return it when its release command runs."""
    data = archive_of(app_files("never", Procfile=PROCFILE + f"release: {command}\n"))
    process = live.popen(live.deploy_request(data))
    assert process.stdin
    process.stdin.write(data)
    process.stdin.flush()
    live.wait_for(lambda: '"release"' in (live.paths.state / "lock").read_text(), 30)
    time.sleep(0.5)
    return process


def commands(words: str) -> int:
    return subprocess.run(["pgrep", "--full", words], check=False, capture_output=True).stdout.count(b"\n")


def test_a_deploy_that_its_client_takes_back_before_the_switch_leaves_the_old_release(live: Server) -> None:
    before = live.get()
    process = in_release_command(live, "sleep 3601")
    reply = process.communicate(b"cancel\n", timeout=20)[0].splitlines()
    error = json.loads(reply[-1])["error"]
    assert (error["code"], error["phase"]) == ("cancelled", "release")
    assert commands("sleep 3601") == 0
    assert live.get() == before
    assert live.ask("status").data["deploy"] is None
    assert live.deploy(app_files(before[1])).ok


def test_a_killed_release_program_leaves_no_command_behind(live: Server) -> None:
    process = in_release_command(live, "sh -c 'sleep 3602; true'; true")
    pattern = f"{live.paths.program}$"
    subprocess.run(["pkill", "--signal", "KILL", "--full", pattern], check=True)
    process.communicate(timeout=20)
    assert live.ask("status").data["deploy"] is None
    assert live.deploy(app_files("after")).ok
    assert commands("sleep 3602") == 0


def test_a_command_runs_as_the_app_would_and_its_status_comes_back(live: Server) -> None:
    live.set_env(CANARY="it's")
    reply = live.ask("run", command='echo "$CANARY $WINDLASS_APP"; python -c "import gunicorn"; exit 3')
    assert reply.data == {"status": 3}
    assert reply.output() == "it's demo"


def test_a_command_ends_with_its_client(live: Server) -> None:
    process = live.popen({"action": "run", "command": "echo $$; exec sleep 60"})
    assert process.stdin and process.stdout
    pid = json.loads(process.stdout.readline())["line"]
    assert (Path("/proc") / pid).exists()
    process.stdout.close()
    assert process.wait(timeout=10) == 1
    assert not (Path("/proc") / pid).exists()


def test_logs_show_one_process_when_asked(live: Server) -> None:
    app_log = live.paths.log
    app_log.write_text(
        "2026-11-21T10:43:50+00:00 host demo-web[1]: asked\n2026-11-21T10:43:51+00:00 host demo-worker[2]: worked\n"
    )
    try:
        assert "asked" in live.ask("logs").output()
        assert live.ask("logs", process="worker").output().endswith("demo-worker[2]: worked")
        assert live.ask("logs", process="nope").data == {"processes": ["web", "worker"]}
        process = live.popen({"action": "logs", "follow": True, "lines": 1})
        assert process.stdout
        assert b"worked" in process.stdout.readline()
        with app_log.open("a") as file:
            file.write("2026-11-21T10:43:52+00:00 host demo-web[1]: newly asked\n")
        assert b"newly asked" in process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=5) is not None
    finally:
        app_log.unlink()
