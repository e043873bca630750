"""Releases that go wrong: visitors never notice, one line says why, and the next one is not hindered."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import pytest
from conftest import PROCFILE, Reply, Server, app_files, archive_of

from windlass.server.settings import fingerprints

LIVE = {"demo-web-blue", "demo-worker"}


@pytest.fixture(autouse=True)
def unchanged(live: Server) -> Iterator[None]:
    """Hold every test of this module to it: what was live is live, and nothing is left of the attempt."""
    before = live.ask("status").data
    yield
    after = live.ask("status").data
    assert live.get() == (200, "one")
    assert after["release"] == before["release"]
    assert {item["release"] for item in after["processes"]} == {before["release"]}
    live.settle()
    assert set(live.states()) == LIVE | ({"demo-web-green"} & {f"demo-web-{after['colour']}"})
    assert [path.name for path in live.paths.releases.iterdir()] == [before["release"]]
    assert list((live.paths.state / "incoming").iterdir()) == []
    assert after["deploy"] is None


def failed(reply: Reply, code: str) -> dict:
    assert reply.status == 1
    assert reply.result["switched"] is False
    assert reply.error["code"] == code, reply.error
    assert "\n" not in reply.error["message"]
    return reply.error


def test_an_import_that_fails_is_named(live: Server) -> None:
    error = failed(live.deploy(app_files(top="import nothing_such")), "start-failed")
    assert "ModuleNotFoundError: No module named 'nothing_such'" in error["message"]
    assert any("Traceback" in line for line in error["log"])


def test_a_health_path_that_answers_500_is_named_with_the_exception(live: Server) -> None:
    broken = app_files(health="raise KeyError('colour of the sky')")
    error = failed(live.deploy(broken), "probe-failed")
    assert "answered 500" in error["message"]
    assert "another `health_path` in the app's entry" in error["hint"]
    assert "KeyError: 'colour of the sky'" in error["message"]


@pytest.fixture
def impatient(live: Server) -> Iterator[Server]:
    """Give a new release 8 s to answer."""
    live.configure(health_timeout=8)
    yield live
    live.configure(health_timeout=15)


def test_a_health_path_that_never_answers_is_given_up_in_time(impatient: Server) -> None:
    live = impatient
    reply = live.deploy(app_files(health="time.sleep(60)"))
    assert "never answered within 8 s" in failed(reply, "probe-failed")["message"]


DRIPS = """
import os, socket, time
listener = socket.socket(socket.AF_UNIX)
listener.bind(os.environ["SOCKET"])
listener.listen()
while True:
    drip, _ = listener.accept()
    try:
        for letter in b"HTTP/1.1 200 OK\\r\\nX: " + b"y" * 10000:
            drip.send(bytes([letter]))
            time.sleep(0.2)
    except OSError:
        continue
"""


def test_an_answer_that_drips_in_is_given_up_in_time(impatient: Server) -> None:
    contents = app_files() | {"Procfile": "web: python drip.py $SOCKET\n", "drip.py": DRIPS}
    started = time.monotonic()
    assert "never answered within 8 s" in failed(impatient.deploy(contents), "probe-failed")["message"]
    assert time.monotonic() - started < 60


def test_a_web_process_that_never_listens_is_given_up_in_time(impatient: Server) -> None:
    reply = impatient.deploy(app_files() | {"Procfile": "web: python -c 'import time; time.sleep(99)' $SOCKET\n"})
    assert "never listened" in failed(reply, "probe-failed")["message"]


def test_a_release_command_that_raises_is_named(live: Server) -> None:
    contents = app_files() | {
        "Procfile": PROCFILE + "release: python migrate.py\n",
        "migrate.py": "print('migrating')\nraise ValueError('column is there already')\n",
    }
    reply = live.deploy(contents)
    error = failed(reply, "release-failed")
    assert "ValueError: column is there already" in error["message"]
    assert error["phase"] == "release"
    assert "migrating" in reply.output()


def test_a_worker_that_fails_is_switched_back(live: Server) -> None:
    reply = live.deploy(app_files("two") | {"worker.py": "raise OSError('no queue')\n"})
    assert "OSError: no queue" in failed(reply, "worker-failed")["message"]


def test_a_build_command_that_fails_is_named(live: Server) -> None:
    live.configure(build="echo cannot find the sea >&2; exit 4")
    try:
        assert "cannot find the sea" in failed(live.deploy(), "build-failed")["message"]
    finally:
        live.configure(build="")


@pytest.mark.parametrize(
    ("contents", "code", "said"),
    [
        ({"requirements.txt": "windlass-no-such-package==99\n"}, "build-failed", "windlass-no-such-package"),
        ({"Procfile": "web: flask run\n"}, "web-command", "flask run"),
        ({"Procfile": "worker: python worker.py\n"}, "no-web-process", "how to start"),
        ({"Procfile": "what is this\n"}, "procfile", "line 1 of the Procfile"),
    ],
)
def test_what_the_repository_lacks_is_said(live: Server, contents: dict[str, str], code: str, said: str) -> None:
    assert said in failed(live.deploy(app_files() | contents), code)["message"]


def test_an_app_without_requirements_is_told_what_to_add(live: Server) -> None:
    contents = app_files()
    del contents["requirements.txt"]
    assert "add a requirements.txt" in failed(live.deploy(contents), "no-requirements")["hint"]


def test_a_service_that_is_down_is_found_before_the_upload(live: Server) -> None:
    live.configure(services=["postgresql"])
    live.set_env(DATABASE_URL=f"postgresql:///demo?host={live.prefix}/nowhere")
    try:
        reply = live.deploy()
        assert "postgresql does not answer" in failed(reply, "check-failed")["message"]
        assert reply.phases() == ["check failed"]
    finally:
        live.configure(services=[])
        live.set_env()


def test_a_damaged_archive_is_refused(live: Server) -> None:
    data = archive_of(app_files())
    request = live.deploy_request(data)
    reply = live.ask(str(request.pop("action")), data=data[:-1] + b"x", **request)
    assert "damaged" in failed(reply, "upload-failed")["message"]


def test_a_client_killed_during_the_upload_leaves_nothing(live: Server) -> None:
    data = archive_of(app_files())
    process = live.popen(live.deploy_request(data))
    assert process.stdin
    process.stdin.write(data[: len(data) // 2])
    process.stdin.close()
    process.stdin = None
    out, _ = process.communicate(timeout=20)
    assert json.loads(out.splitlines()[-1])["error"]["code"] == "upload-failed"


def test_a_program_killed_during_the_upload_leaves_no_lock(live: Server) -> None:
    data = archive_of(app_files())
    process = live.popen(live.deploy_request(data))
    live.wait_for(lambda: (live.paths.state / "incoming/archive").exists())
    process.kill()
    process.communicate()
    assert live.ask("restart").ok
    assert live.ask("restart").ok


def test_a_second_deploy_is_refused_and_told_who_and_what(live: Server) -> None:
    data = archive_of(app_files())
    first = live.popen(live.deploy_request(data))
    live.wait_for(lambda: live.ask("status").data["deploy"] is not None)
    error = failed(live.deploy(), "locked")
    assert "alice@laptop" in error["message"]
    assert error["lock"]["version"] == "main"
    assert "deploy of main, phase upload" in error["message"]
    checks = live.ask("check").data["checks"]
    assert [item["name"] for item in checks if not item["ok"]] == ["lock"]
    first.communicate(b"", timeout=20)


def test_who_deploys_or_checks_hears_what_the_server_was_told_of_the_entry_but_no_value(live: Server) -> None:
    live.set_env(TOKEN="opensesame", COLOUR="red")
    try:
        for reply in (live.ask("check"), live.deploy(app_files(top="import nothing_such"))):
            event = reply.events[0]
            assert event == {
                "event": "entry",
                "keys": fingerprints(json.loads(live.paths.settings.read_text())),
                "env": ["COLOUR", "TOKEN"],
            }
            assert "opensesame" not in str(event) and "demo" not in str(event)
        assert live.ask("status").events[0]["event"] == "result"
    finally:
        live.paths.env.unlink()


def test_a_rollout_that_waits_is_told_for_whom_and_begins_when_the_lock_is_free(live: Server) -> None:
    first = live.popen(live.deploy_request(archive_of(app_files())))
    live.wait_for(lambda: live.ask("status").data["deploy"] is not None)
    second = live.popen({"action": "restart", "wait": True})
    assert second.stdout
    said = json.loads(second.stdout.readline())
    assert said["event"] == "note"
    assert "waiting: alice@laptop has the lock" in said["message"]
    first.communicate(b"", timeout=20)
    out, _ = second.communicate(timeout=30)
    assert json.loads(out.splitlines()[-1])["ok"] is True
    assert live.ask("restart").ok


def test_waiting_ends_with_its_client(live: Server) -> None:
    first = live.popen(live.deploy_request(archive_of(app_files())))
    live.wait_for(lambda: live.ask("status").data["deploy"] is not None)
    second = live.popen({"action": "restart", "wait": True})
    assert second.stdout
    second.stdout.readline()
    second.stdout.close()
    assert second.wait(timeout=5) == 1
    first.communicate(b"", timeout=20)


def test_an_interrupted_deploy_is_undone(live: Server) -> None:
    data = archive_of(app_files(health="time.sleep(60)"))
    live.configure(health_timeout=30)
    process = live.popen(live.deploy_request(data))
    assert process.stdin
    process.stdin.write(data)
    process.stdin.flush()
    live.wait_for(lambda: "probe" in (live.paths.state / "lock").read_text())
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True)
    os.kill(int(children.stdout), signal.SIGTERM)
    out, _ = process.communicate(timeout=20)
    live.configure(health_timeout=15)
    assert json.loads(out.splitlines()[-1])["error"]["code"] == "interrupted"


def test_a_switch_that_cannot_be_written_down_is_taken_back(live: Server) -> None:
    state = (live.paths.state / "state.json").read_text()
    in_the_way = live.paths.supervisor_conf / ".windlass-demo-worker.conf.new"
    in_the_way.mkdir()
    try:
        failed(live.deploy(app_files("two")), "internal")
    finally:
        in_the_way.rmdir()
    assert (live.paths.state / "state.json").read_text() == state


def test_a_switch_that_stops_half_way_is_taken_back(live: Server) -> None:
    in_the_way = live.paths.sockets / ".web.sock.new"
    in_the_way.mkdir()
    try:
        failed(live.deploy(app_files("two")), "internal")
    finally:
        in_the_way.rmdir()


class _Front(BaseHTTPRequestHandler):
    answers: ClassVar[list[int]] = []

    def do_GET(self) -> None:
        self.send_response(self.answers.pop(0) if self.answers else 502)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        return


@pytest.mark.parametrize(("answers", "status"), [([], 502), ([200, 404, 404], 404)])
def test_a_front_that_does_not_lead_to_the_new_release_is_switched_back(
    live: Server, answers: list[int], status: int
) -> None:
    _Front.answers = list(answers)
    pem = live.prefix / "front.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=demo -days 2"
    made = ["-keyout", str(pem), "-out", str(pem) + ".crt"]
    subprocess.run([*command.split(), *made], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(str(pem) + ".crt", str(pem))
    with HTTPServer(("127.0.0.1", 0), _Front) as front:
        front.socket = context.wrap_socket(front.socket, server_side=True)
        threading.Thread(target=front.serve_forever, daemon=True).start()
        live.configure(front={"address": "127.0.0.1", "port": front.server_port})
        try:
            error = failed(live.deploy(app_files("two")), "front-failed")
        finally:
            live.configure(front=None)
            front.shutdown()
    assert f"answered {status}" in error["message"]
    assert "switched back" in error["message"]


def test_a_failed_release_is_listed_as_failed_with_the_reason(live: Server) -> None:
    newest = live.releases()[0]
    assert newest["status"] == "failed"
    assert newest["error"]
