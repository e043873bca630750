"""What the key of a pipeline may ask for: a deploy of its own app, and nothing else."""

from __future__ import annotations

import json
import subprocess

import pytest
from conftest import APP, Server, app_files, archive_of


def ask(server: Server, *arguments: str, data: bytes = b"", **request: object) -> dict:
    line = {"protocol": 1, "app": APP, "by": "pipeline"} | request
    command = [str(server.paths.program), *arguments]
    done = subprocess.run(command, input=json.dumps(line).encode() + b"\n" + data, capture_output=True, check=False)
    return json.loads(done.stdout.splitlines()[-1]) if done.stdout else {"status": done.returncode}


def test_the_key_of_a_pipeline_deploys_its_app_and_sees_what_runs(live: Server) -> None:
    data = archive_of(app_files("one"))
    request = live.deploy_request(data)
    answer = ask(live, "deploy-only", APP, data=data, **request)
    assert answer["ok"], answer
    assert ask(live, "deploy-only", APP, action="status")["data"]["release"] == answer["data"]["release"]
    for action in ("check", "releases"):
        assert ask(live, "deploy-only", APP, action=action)["ok"]


@pytest.mark.parametrize(
    "request_",
    [
        {"action": "run", "command": "id"},
        {"action": "logs"},
        {"action": "restart"},
        {"action": "rollback"},
        {"action": "rollback", "restore_snapshot": True, "confirmed": True},
        {"action": "maintenance", "on": True},
    ],
    ids=lambda request: request["action"],
)
def test_the_key_of_a_pipeline_does_nothing_else(live: Server, request_: dict[str, object]) -> None:
    error = ask(live, "deploy-only", APP, **request_)["error"]
    assert error["code"] == "not-allowed"
    assert f"may only deploy {APP}; {request_['action']} is not" in error["message"]
    assert live.answers("one")


def test_the_key_of_a_pipeline_reaches_no_other_app(live: Server) -> None:
    error = ask(live, "deploy-only", "blog", action="status")["error"]
    assert error["message"] == f"this key may only deploy blog, not {APP}"


@pytest.mark.parametrize("arguments", [("deploy-only",), ("deploy-only", APP, "x"), ("deploy-only", ""), ("x", APP)])
def test_other_arguments_are_refused_before_anything_is_read(live: Server, arguments: tuple[str, ...]) -> None:
    assert ask(live, *arguments, action="status") == {"status": 2}
