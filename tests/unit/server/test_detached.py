"""Work that outlives its client."""

from __future__ import annotations

import json
from pathlib import Path

from conftest import Server, app_files, archive_of


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
