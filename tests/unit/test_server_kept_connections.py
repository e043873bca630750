"""An app whose connections nginx keeps must not be the one that closes them."""

from __future__ import annotations

import re

import pytest

from tests.support import project
from windlass.server.processes import command

KEPT = command.Web("/run/x/blue.sock", keeps_connections=True)
NOT_KEPT = command.Web("/run/x/blue.sock")


@pytest.mark.parametrize(
    ("written", "option"),
    [
        ("gunicorn app:app", "--keep-alive=30"),
        ("gunicorn --keep-alive 2 app:app", "--keep-alive=30"),
        ("gunicorn --keep-alive=2 -c conf.py app:app", "--keep-alive=30"),
        ("uvicorn --timeout-keep-alive 5 app:app", "--timeout-keep-alive=30"),
        ("hypercorn --keep-alive 5 app:app", "--keep-alive=30"),
    ],
)
def test_the_app_keeps_an_idle_connection_whatever_its_command_says(written: str, option: str):
    placed = command.web_command(written, KEPT)[0].split()
    assert [word for word in placed if "keep-alive" in word] == [option]
    assert not {"2", "5"} & set(placed)
    assert placed[-1] == "app:app"


@pytest.mark.parametrize("written", ["gunicorn --keep-alive 2 app:app", "uvicorn --timeout-keep-alive 5 app:app"])
def test_without_kept_connections_the_commands_own_time_stands(written: str):
    assert written.partition(" ")[2].removesuffix(" app:app") in command.web_command(written, NOT_KEPT)[0]


def test_nginx_closes_first_with_time_to_spare():
    text = (project.ROOT / "roles/nginx/templates/etc/nginx/app.conf.j2").read_text()
    closes = re.findall(r"keepalive_timeout (\d+)s;", text)
    assert len(closes) == 1
    assert int(closes[0]) + 15 <= command.KEEP_ALIVE
