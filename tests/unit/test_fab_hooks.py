"""Hooks of the laptop, against a program that speaks the server's side of the protocol."""

from __future__ import annotations

import io
from contextlib import nullcontext
from pathlib import Path

import pytest
from test_fab_driver import APPS, HOSTS, Process

from windlass import verbs
from windlass.driver import Call, Event, request
from windlass.errors import Status, WindlassError
from windlass.hooks import Hooks
from windlass.inventory import App, Environment, Host
from windlass.output import Screen
from windlass.server.names import LAPTOP_HOOKS
from windlass.source import Archive, Source

DEPLOY = """
def phase(name):
    say(event="phase", phase=name, status="start"); say(event="phase", phase=name, status="done", seconds=0.1)
phase("check"); say(event="release", release="R1")
say(event="phase", phase="upload", status="start"); say(event="send")
if not sys.stdin.buffer.read(3): sys.exit()
open(request["version"], "w").write("uploaded")
say(event="phase", phase="upload", status="done")
for name in ("build", "switch"): phase(name)
say(event="result", ok=True, data={"release": "R1", "failed_hooks": ["after-prune"]})
"""
TELL = 'echo "$WINDLASS_HOOK $WINDLASS_APP $WINDLASS_ENV $WINDLASS_VERSION $WINDLASS_HOST $WINDLASS_RELEASE" >> told'


def hooks_of(folder: Path, **commands: str) -> Hooks:
    named = {name.replace("_", "-"): command for name, command in commands.items()}
    app = App("blog", ("a.example.com",), "/r", "HEAD", ".", "main.yml:2", HOSTS[:1], named)
    return Hooks(app, folder, "deploy", Screen(out=io.StringIO(), err=io.StringIO()), "v1", "c" * 40)


def call(hooks: Hooks, message: Event, code: str = DEPLOY) -> Event | WindlassError:
    archive = Archive(io.BytesIO(b"abc"), 3, "")
    try:
        return Call(Process(code), "web1", hooks.screen, hooks=hooks).run(message, archive)
    except WindlassError as error:
        return error


def uploading(folder: Path) -> Event:
    return request("deploy", "blog", version=str(folder / "uploaded"))


def test_hooks_follow_the_events_of_the_server_and_know_what_it_does(tmp_path: Path) -> None:
    hooks = hooks_of(tmp_path, after_check=TELL, before_upload=TELL, after_switch=TELL, after_prune=TELL)
    assert isinstance(call(hooks, uploading(tmp_path)), dict)
    lines = (tmp_path / "told").read_text().splitlines()
    env = tmp_path.name
    assert lines == [
        f"after-check blog {env} v1 web1 ",
        f"before-upload blog {env} v1 web1 R1",
        f"after-switch blog {env} v1 web1 R1",
    ]
    assert hooks.failed == []


@pytest.mark.parametrize("name", ["after_check", "before_upload"])
def test_a_hook_before_the_upload_can_refuse(tmp_path: Path, name: str) -> None:
    error = call(hooks_of(tmp_path, **{name: "echo no; exit 7"}), uploading(tmp_path))
    assert isinstance(error, WindlassError)
    assert f"the hook {name.replace('_', '-')} failed with status 7; nothing was begun" in str(error)
    assert error.status == Status.FAILED
    assert not (tmp_path / "uploaded").exists()


@pytest.mark.parametrize("name", ["after_upload", "before_build", "after_switch"])
def test_a_later_hook_that_fails_stops_nothing_and_counts_at_the_end(tmp_path: Path, name: str) -> None:
    hooks = hooks_of(tmp_path, **{name: "exit 7"})
    assert isinstance(call(hooks, uploading(tmp_path)), dict)
    assert hooks.failed == [name.replace("_", "-")]
    with pytest.raises(WindlassError, match="the new release is live, but hooks failed") as caught:
        hooks.settle()
    assert caught.value.status == Status.FAILED_AFTER_SWITCH


def test_no_hook_of_a_rollback_refuses_once_the_server_has_begun(tmp_path: Path) -> None:
    hooks = hooks_of(tmp_path, after_check="exit 7")
    code = 'say(event="phase", phase="check", status="done"); say(event="result", ok=True, data={})'
    assert call(hooks, request("rollback", "blog"), code) == {}
    assert hooks.failed == ["after-check"]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Have verbs meet two hosts that only write down that they were asked."""
    asked: list[str] = []

    def answer(host: Host, _screen: Screen, _message: Event, *_args: object, **_named: object) -> Event:
        asked.append(host.name)
        return {"release": "R1", "failed_hooks": ["after-switch"] if host.name == "web1" else []}

    app = App(*(getattr(APPS[0], name) for name in ("name", "domains", "repository", "version", "directory", "where")),
              HOSTS[:2], {"before-deploy": f"{TELL}; test ! -e refuse", "after-deploy": TELL, "before-check": TELL,
                          "after-rollback": TELL})  # fmt: skip
    monkeypatch.setattr(verbs.inventory, "load", lambda env: Environment(tmp_path, (app,), app.hosts))
    monkeypatch.setattr(verbs, "source_of", lambda *_: Source(tmp_path, "c" * 40, "v1"))
    monkeypatch.setattr(verbs.source, "archive", lambda *_: nullcontext(Archive(io.BytesIO(b"abc"), 3, "")))
    monkeypatch.setattr(verbs, "call", answer)
    return asked


def test_a_deploy_has_hooks_of_its_own_once_and_those_of_a_phase_for_each_host(
    ask: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verbs.deploy(None, None, None, False) == Status.FAILED_AFTER_SWITCH
    assert ask == ["web1", "web2"]
    told = [line.split()[0] for line in (tmp_path / "told").read_text().splitlines()]
    assert told == ["before-deploy", "before-check", "before-check", "after-deploy"]
    error = "error: the new release is live, but hooks failed: after-switch; see what they printed"
    assert error in capsys.readouterr().err


def test_a_hook_before_the_deploy_refuses_it(ask: list[str], tmp_path: Path) -> None:
    (tmp_path / "refuse").touch()
    assert verbs.deploy(None, None, None, False) == Status.FAILED
    assert ask == []


def test_a_rollback_has_its_own_hooks(ask: list[str], tmp_path: Path) -> None:
    assert verbs.rollback(None, None, None, False) == Status.FAILED_AFTER_SWITCH
    told = [line.split()[0] for line in (tmp_path / "told").read_text().splitlines()]
    assert told == ["before-check", "before-check", "after-rollback"]


def test_every_hook_has_one_name() -> None:
    assert len(set(LAPTOP_HOOKS)) == len(LAPTOP_HOOKS) == 28
