"""An app that prints its secrets while it is released: the release program neither passes them on nor keeps them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import PROCFILE, Server, app_files

SECRETS = {"DATABASE_URL": "postgresql://demo:c4nary-url@127.0.0.1:1/demo", "API_TOKEN": "c4nary-token"}
RELEASE = "release: python tell.py\n"


@pytest.fixture
def secretive(live: Server) -> Iterator[Server]:
    before = live.paths.env.read_text() if live.paths.env.exists() else ""
    live.set_env(**SECRETS)
    yield live
    live.paths.env.write_text(before)


@pytest.mark.parametrize("raises", ["raise RuntimeError(os.environ['DATABASE_URL'])", ""])
def test_what_a_release_command_says_of_secrets_is_masked(secretive: Server, raises: str):
    told = f"import os\nprint('token', os.environ['API_TOKEN'])\n{raises}\n"
    reply = secretive.deploy(app_files("one", Procfile=PROCFILE + RELEASE, tell__py=told))
    assert reply.ok is not bool(raises)
    assert "token ********" in reply.output()
    if raises:
        assert "postgresql://demo:********@127.0.0.1:1/demo" in reply.error["message"]
    kept = [path for path in secretive.paths.state.rglob("*") if path.is_file()]
    assert kept
    found = [path for path in kept if b"c4nary" in path.read_bytes()]
    assert found == []
    assert "c4nary" not in str(reply.events) + reply.stderr


def test_a_command_of_the_user_shows_what_it_prints(secretive: Server):
    assert "c4nary-token" in secretive.ask("run", command="printenv API_TOKEN").output()
