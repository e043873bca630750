"""Maintenance mode of a whole server: by `fab`, and through a deploy and a provisioning run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fab import Fab
from tests.support.playbook import play
from tests.support.visitor import Visitor


@pytest.fixture
def closed(fab: Fab, guestbook: Visitor) -> Iterator[None]:
    """Turn maintenance mode on, and off again."""
    fab.succeed("maintenance", "on", "--app", "guestbook")
    yield
    fab.succeed("maintenance", "off", "--app", "guestbook")
    assert guestbook.ask("/").status == 200


def test_visitors_of_one_app_get_the_page_and_the_status_says_why(
    closed: None, fab: Fab, guestbook: Visitor, visitors: Visitor
):
    answer = guestbook.ask("/")
    assert answer.status == 503
    assert "<h1>We will be right back</h1>" in answer.text
    assert visitors.ask("/").status == 200
    assert fab.json("status", "--app", "guestbook")["maintenance"] is True
    assert "fab maintenance off --app guestbook" in fab.succeed("status", "--app", "guestbook").output
    assert fab.json("status", "--app", "visitors")["maintenance"] is False


def test_a_deploy_goes_on_and_leaves_the_site_closed(closed: None, fab: Fab, guestbook: Visitor):
    before = fab.json("status", "--app", "guestbook")["release"]
    fab.succeed("deploy", "--app", "guestbook")
    assert fab.json("status", "--app", "guestbook")["release"] > before
    assert guestbook.ask("/").status == 503
    fab.succeed("rollback", "--app", "guestbook")
    assert guestbook.ask("/").status == 503


def test_a_provisioning_run_leaves_the_site_closed(closed: None, guestbook: Visitor, inventory: Path):
    result = play(inventory, "--tags", "app,nginx")
    assert result.returncode == 0, result.stdout[-3000:]
    assert guestbook.ask("/").status == 503
