"""The laptop's half of the protocol, against a program that speaks the server's."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from windlass import output, verbs
from windlass.driver import Call, ServerError, request
from windlass.errors import Status, WindlassError
from windlass.inventory import App, Environment, Host
from windlass.output import Screen
from windlass.server import protocol, settings
from windlass.source import Archive


class Process:
    """A wire to a subprocess."""

    def __init__(self, code: str) -> None:
        prelude = (
            "import sys, json, hashlib\n"
            "def say(**event): print(json.dumps(event), flush=True)\n"
            "request = json.loads(sys.stdin.buffer.readline())\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", prelude + code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def send(self, data: bytes | memoryview) -> int:
        assert self.process.stdin
        written = self.process.stdin.write(data)
        self.process.stdin.flush()
        return written

    def receive(self) -> bytes:
        assert self.process.stdout
        return self.process.stdout.read1()  # type: ignore[attr-defined, no-any-return]

    def complaint(self) -> str:
        assert self.process.stderr
        return self.process.stderr.read().decode().strip()

    def close(self) -> None:
        self.process.communicate()


def follow(code: str, message: dict[str, Any], data: bytes = b"", **options: Any) -> tuple[Any, str]:
    """Make one call; return the result's data and what stood on the terminal."""
    seen = io.StringIO()
    screen = Screen(out=io.StringIO(), err=seen, **options)
    archive = Archive(io.BytesIO(data), len(data), hashlib.sha256(data).hexdigest()) if data else None
    try:
        return Call(Process(code), "web1", screen).run(message, archive), seen.getvalue()
    except WindlassError as error:
        return error, seen.getvalue()


def test_a_deploy_sends_the_archive_when_it_is_asked_for() -> None:
    code = """
say(event="phase", phase="check", status="start"); say(event="phase", phase="check", status="done", seconds=0.2)
say(event="send")
data = sys.stdin.buffer.read(request["archive"]["size"])
say(event="phase", phase="upload", status="done", seconds=0.1)
say(event="phase", phase="release", status="skipped")
say(event="note", message="look")
say(event="result", ok=True, data={"sha": hashlib.sha256(data).hexdigest()})
"""
    data = bytes(range(256)) * 2000
    result, seen = follow(code, request("deploy", "x", archive={"size": len(data)}), data)
    assert result == {"sha": hashlib.sha256(data).hexdigest()}
    lines = [line.split() for line in seen.splitlines()]
    assert lines == [
        ["check", "done", "0.20", "s"],
        ["upload", "done", "0.10", "s"],
        ["release", "skipped"],
        ["note:", "look"],
    ]


FAILS = """
say(event="phase", phase="build", status="start")
say(event="output", phase="build", stream="stderr", line="no matching distribution")
say(event="phase", phase="build", status="failed", seconds=1)
say(event="result", ok=False, switched=%s, error={"code": "%s", "phase": "build", "message": "the build failed",
    "hint": "read it", "log": ["last words"]})
"""


def test_a_failed_phase_shows_what_it_printed() -> None:
    error, seen = follow(FAILS % (False, "build-failed"), request("deploy", "x"))
    assert "no matching distribution" in seen
    assert str(error) == "web1: the build failed; read it"
    assert (error.status, error.log) == (Status.FAILED, ("last words",))


def test_what_a_failed_phase_printed_is_not_shown_again_as_the_log() -> None:
    code = FAILS.replace("last words", "no matching distribution") % (False, "build-failed")
    for verbose in (False, True):
        error, seen = follow(code, request("deploy", "x"), verbose=verbose)
        assert seen.count("no matching distribution") == 1
        assert error.log == ()


@pytest.mark.parametrize(
    ("switched", "code", "status"),
    [
        (False, "locked", Status.LOCKED),
        (True, "drain-failed", Status.FAILED_AFTER_SWITCH),
        (False, "no-such-release", Status.USAGE),
        (False, "probe-failed", Status.FAILED),
    ],
)
def test_the_exit_status_says_what_kind_of_failure_it_was(switched: bool, code: str, status: Status) -> None:
    error, _ = follow(FAILS % (switched, code), request("deploy", "x"))
    assert isinstance(error, ServerError)
    assert error.status == status


def test_build_output_is_shown_as_it_comes_when_asked_for() -> None:
    code = 'say(event="output", phase="build", line="\\x1b[2Jhello"); say(event="result", ok=True)'
    _, quiet = follow(code, request("deploy", "x"))
    _, verbose = follow(code, request("deploy", "x"), verbose=True)
    assert "hello" not in quiet
    assert verbose == "    ?[2Jhello\n"


def test_a_server_without_the_program_is_told_to_provision() -> None:
    error, _ = follow("sys.exit('sudo: a password is required')", request("status", "x"))
    assert "sudo: a password is required; provision the server: ansible-playbook site.yml" in str(error)


def test_an_end_without_a_result_after_the_upload_says_that_the_server_goes_on() -> None:
    code = 'say(event="send"); sys.stdin.buffer.read(3)'
    error, _ = follow(code, request("deploy", "x"), b"abc")
    assert str(error) == "web1: the connection ended early; the server goes on by itself; fab status tells"
    assert error.status == Status.UNREACHED


def test_a_plan_that_loses_its_link_does_not_say_that_the_server_goes_on() -> None:
    error, _ = follow('say(event="send"); sys.stdin.buffer.read(3)', request("plan", "x"), b"abc")
    assert "goes on" not in str(error)
    assert error.status == Status.UNREACHED


def test_what_is_no_event_is_refused() -> None:
    error, _ = follow("print('Welcome to Debian')", request("status", "x"))
    assert "not understood: 'Welcome to Debian'" in str(error)


def test_an_entry_that_the_server_has_otherwise_is_told_before_anything_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {"name": "blog", "health_path": "/up", "build": None}
    keys = settings.fingerprints(told | {"health_path": "/nope", "front": None})
    code = f"say(event='entry', keys={keys!r}, env=['OLD']); say(event='result', ok=True, data={{'checks': []}})"
    monkeypatch.setattr("windlass.connection.Link", lambda _: Process(code))
    monkeypatch.setattr(output._InUse, "inventory", "inventories/staging")
    app = replace(APPS[0], told=told, env=("NEW", "OLD"))
    assert verbs._check_host(Screen(), app, HOSTS[0])
    assert capsys.readouterr().err == (
        "  note: the entry of blog differs from what web1 has (health_path, env.NEW); "
        "run ansible-playbook -i inventories/staging site.yml\n"
    )
    assert verbs._check_host(Screen(), replace(app, told={}, env=()), HOSTS[0])
    assert capsys.readouterr().err == ""


HOSTS = tuple(Host(name, "192.0.2.1", 22, "deploy", None, None) for name in ("web1", "web2", "web3"))  # type: ignore[arg-type]
APPS = tuple(App(name, ("a.example.com",), "/r", "HEAD", ".", "main.yml:2", HOSTS) for name in ("blog", "shop"))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """Record the requests; web2 refuses to do anything but to tell its state."""
    made: list[tuple[str, dict[str, Any]]] = []

    def call(host: Host, _screen: Screen, message: dict[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
        made.append((host.name, message))
        if host.name == "web2" and message["action"] not in ("status", "releases"):
            raise ServerError(host.name, {"error": {"code": "disk-full", "message": "the disk is full"}})
        return {"release": f"r-{host.name}", "releases": [{"release": "r1", "status": "live"}]}

    monkeypatch.setattr(verbs, "call", call)
    monkeypatch.setattr(verbs.inventory, "load", lambda _: Environment(None, APPS, HOSTS))  # type: ignore[arg-type]
    return made


def test_several_hosts_are_done_in_order_and_a_failure_stops_and_reports(
    calls: list[tuple[str, dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert verbs.rollback("shop", None, None, False) == Status.FAILED_AFTER_SWITCH
    assert [(host, message["action"]) for host, message in calls] == [
        ("web1", "rollback"),
        ("web2", "rollback"),
        ("web1", "status"),
        ("web2", "status"),
        ("web3", "status"),
    ]
    seen = capsys.readouterr().err
    assert "web3: r-web3" in seen
    line = seen.splitlines()[-1]
    assert line.startswith(
        "error: web2: the disk is full; web1 has r-web1 now, the other hosts do not; mend it and run"
    )


def test_later_hosts_are_asked_for_the_release_of_the_first(calls: list[tuple[str, dict[str, Any]]]) -> None:
    verbs.rollback("shop", None, None, False)
    asked = [message.get("to") for _, message in calls if message["action"] == "rollback"]
    assert asked == [None, "r-web1"]


def test_a_verb_that_needs_an_app_says_which_there_are(
    calls: list[tuple[str, dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert verbs.rollback(None, None, None, False) == Status.USAGE
    assert capsys.readouterr().err == "error: which app? there are: blog, shop; type --app blog\n"
    assert not calls


def test_a_release_name_is_checked_before_a_server_is_asked(
    calls: list[tuple[str, dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert verbs.rollback("shop", "$(id)", None, False) == Status.USAGE
    assert "'$(id)' is not the name of a release" in capsys.readouterr().err
    assert not calls


def test_json_is_all_that_stands_on_stdout(
    calls: list[tuple[str, dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert verbs.releases(None, None, True) == Status.DONE
    rows = json.loads(capsys.readouterr().out)
    assert [(row["app"], row["host"]) for row in rows][:2] == [("blog", "web1"), ("blog", "web2")]
    assert verbs.status("shop", None, True) == Status.DONE
    assert [state["release"] for state in json.loads(capsys.readouterr().out)] == ["r-web1", "r-web2", "r-web3"]


@pytest.mark.parametrize("ask", [verbs.status, verbs.releases])
def test_an_app_that_is_not_there_yet_hides_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ask: Callable[..., int]
) -> None:
    def call(host: Host, _screen: Screen, message: dict[str, Any]) -> dict[str, Any]:
        if message["app"] == "blog":
            raise ServerError(host.name, {"error": {"code": "unknown-app", "message": "no app blog"}})
        return {"release": "r1", "releases": [{"release": "r1", "status": "live"}]}

    monkeypatch.setattr(verbs, "call", call)
    monkeypatch.setattr(verbs.inventory, "load", lambda _: Environment(None, APPS, HOSTS))  # type: ignore[arg-type]
    assert ask(None, None, False) == Status.USAGE
    seen = capsys.readouterr()
    assert seen.out.count("shop") == len(HOSTS)
    assert seen.err == "error: web1: no app blog\n"
    assert ask("blog", None, True) == Status.USAGE
    assert capsys.readouterr().out == ""


def test_a_process_that_the_log_has_nothing_of_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verbs, "call", lambda *_, **__: {})
    monkeypatch.setattr(verbs.inventory, "load", lambda _: Environment(None, APPS, HOSTS))  # type: ignore[arg-type]
    assert verbs.logs("shop", "web-blue", False, "3", None) == Status.DONE
    assert "the log has no line of web-blue; write it as in the Procfile" in capsys.readouterr().err
    monkeypatch.setattr(verbs, "call", lambda *_, **__: {"processes": ["worker", "web"]})
    assert verbs.logs("shop", "web-blue", False, "3", None) == Status.DONE
    assert "the log has no line of web-blue; it has lines of web, worker" in capsys.readouterr().err


class Real(Process):
    """A wire to the release program itself, which finds its places below a folder."""

    def __init__(self, prefix: Path) -> None:
        code = (
            f"import sys, pathlib; from windlass.server.main import main; sys.exit(main(pathlib.Path({str(prefix)!r})))"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=Path(__file__).resolve().parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


@pytest.mark.parametrize("action", ["status", "releases", "check", "logs", "rollback", "restart"])
def test_an_app_that_the_server_does_not_have_is_one_line(tmp_path: Path, action: str) -> None:
    with pytest.raises(ServerError, match=r"web1: no app blog on this server; run ansible-playbook") as caught:
        Call(Real(tmp_path), "web1", Screen()).run(request(action, "blog"))
    assert caught.value.status == Status.USAGE


REQUESTS: list[dict[str, Any]] = [
    request(
        "deploy", "blog", commit="a" * 40, version="v1", archive={"size": 1, "sha256": "b" * 64}, release_command=True
    ),
    request("plan", "blog", commit="a" * 40, version="v1", archive={"size": 1, "sha256": "b" * 64}),
    request("rollback", "blog", to=None),
    request("rollback", "blog", to="20260101T000000Z-abcdef1"),
    request("logs", "blog", process="web", follow=True, lines=100),
    request("run", "blog", command="flask shell"),
    request("maintenance", "blog", on=False),
    *(request(action, "blog") for action in ("restart", "releases", "status", "check")),
]


@pytest.mark.parametrize("message", REQUESTS, ids=lambda message: message["action"])
def test_the_server_understands_every_request(message: dict[str, Any]) -> None:
    assert protocol.parse(json.dumps(message).encode()).action == message["action"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_is_for_a_terminal_and_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert output.paint("x", "red", io.StringIO()) == "x"
    assert output.paint("x", "red", Terminal()) == "\x1b[31mx\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert output.paint("x", "red", Terminal()) == "x"


def test_the_upload_moves_on_a_terminal_alone() -> None:
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        Screen(err=stream).progress("upload", 1_000_000, 1_000_000)
    assert "[##############################] 1.0 of 1.0 MB" in terminal.getvalue()
    assert pipe.getvalue() == ""
