"""Maintenance mode on the server: a flag that nginx sees, and that stays until somebody takes it away."""

from __future__ import annotations

import stat

import pytest
from conftest import Server, make_server


@pytest.fixture
def idle(package_cache) -> Server:
    """Return a server without a release: the flag needs none."""
    return make_server(package_cache)


def test_it_is_on_until_it_is_turned_off(idle: Server):
    flag = idle.paths.maintenance
    assert idle.ask("maintenance", on=True).data == {"maintenance": True, "changed": True}
    assert flag.exists()
    assert idle.ask("maintenance", on=False).data == {"maintenance": False, "changed": True}
    assert not flag.exists()


def test_saying_it_twice_changes_nothing_the_second_time(idle: Server):
    idle.ask("maintenance", on=True, by="alice@laptop")
    said = idle.paths.maintenance.read_text()
    assert "alice@laptop" in said
    assert idle.ask("maintenance", on=True, by="bob@laptop").data == {"maintenance": True, "changed": False}
    assert idle.paths.maintenance.read_text() == said
    idle.ask("maintenance", on=False)
    assert idle.ask("maintenance", on=False).data == {"maintenance": False, "changed": False}


def test_nginx_who_is_no_root_can_see_the_flag(idle: Server):
    idle.ask("maintenance", on=True)
    assert stat.S_IMODE(idle.paths.maintenance.stat().st_mode) == 0o644
    assert stat.S_IMODE(idle.paths.maintenance.parent.stat().st_mode) == 0o755


@pytest.mark.parametrize("word", [{}, {"on": "yes"}, {"on": 1}])
def test_a_request_that_does_not_say_on_or_off_is_refused(idle: Server, word: dict[str, object]):
    answer = idle.ask("maintenance", **word)
    assert not answer.ok
    assert answer.error["code"] == "bad-request"
    assert not idle.paths.maintenance.exists()


def test_the_status_tells(live: Server):
    assert live.ask("status").data["maintenance"] is False
    live.ask("maintenance", on=True)
    try:
        assert live.ask("status").data["maintenance"] is True
    finally:
        live.ask("maintenance", on=False)
