"""`fab rollback --downgrade` and `--restore-snapshot`, on servers that are not there."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from windlass import verbs
from windlass.driver import ServerError
from windlass.errors import Status
from windlass.inventory import App, Environment, Host
from windlass.ways_back import Ways

HOSTS = tuple(Host(name, "192.0.2.1", 22, "deploy", None, None) for name in ("web1", "web2"))  # type: ignore[arg-type]
SHOP = App("shop", ("shop.example.com",), "/r", "HEAD", ".", "main.yml:2", HOSTS)
UNCONFIRMED = {"code": "confirm-restore", "message": "restoring takes away 3 minutes", "hint": "type --yes"}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    seen: list[tuple[str, dict[str, Any]]] = []

    def call(host: Host, _screen: object, message: dict[str, Any], *_: object, **__: object) -> dict[str, Any]:
        seen.append((host.name, message))
        if message.get("restore_snapshot") and not message.get("confirmed"):
            raise ServerError(host.name, {"ok": False, "error": UNCONFIRMED})
        return {"changed": True, "release": "20260101T000000Z-abcdef1"}

    monkeypatch.setattr(verbs, "call", call)
    monkeypatch.setattr(verbs.inventory, "load", lambda _: Environment(Path(), (SHOP,), HOSTS))
    return seen


def actions(calls: list[tuple[str, dict[str, Any]]]) -> list[tuple[str, str, bool]]:
    return [(host, message["action"], bool(message.get("on"))) for host, message in calls]


def test_a_plain_rollback_asks_for_nothing_more(calls: list[tuple[str, dict[str, Any]]]) -> None:
    assert verbs.rollback(None, None, None, False) == Status.DONE
    assert [set(message) & {"downgrade", "restore_snapshot", "confirmed"} for _, message in calls] == [set(), set()]


def test_the_other_servers_are_closed_while_the_database_changes(calls: list[tuple[str, dict[str, Any]]]) -> None:
    assert verbs.rollback(None, None, None, False, ways=Ways(downgrade=True)) == Status.DONE
    assert actions(calls) == [
        ("web2", "maintenance", True),
        ("web1", "rollback", False),
        ("web2", "rollback", False),
        ("web2", "maintenance", False),
    ]


def test_a_restore_without_a_terminal_is_refused_with_what_to_type(
    calls: list[tuple[str, dict[str, Any]]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert verbs.rollback(None, None, None, False, ways=Ways(restore_snapshot=True)) == Status.FAILED
    assert "3 minutes" in capsys.readouterr().err
    assert ("web2", "maintenance", True) not in actions(calls)


def test_a_restore_that_is_agreed_to_is_asked_for_again(
    calls: list[tuple[str, dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    assert verbs.rollback(None, None, None, False, ways=Ways(restore_snapshot=True)) == Status.DONE
    assert actions(calls)[:3] == [
        ("web1", "rollback", False),
        ("web2", "maintenance", True),
        ("web1", "rollback", False),
    ]
    assert calls[2][1]["confirmed"] is True


def test_both_ways_at_once_are_wrong_use(calls: list[tuple[str, dict[str, Any]]]) -> None:
    ways = Ways(downgrade=True, restore_snapshot=True)
    assert verbs.rollback(None, None, None, False, ways=ways) == Status.USAGE
    assert calls == []
