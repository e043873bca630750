"""`fab maintenance`, on servers that are not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from windlass import maintenance, verbs
from windlass.driver import ServerError
from windlass.errors import Status
from windlass.inventory import App, Environment, Host
from windlass.output import Screen

HOSTS = tuple(Host(name, "192.0.2.1", 22, "deploy", None, None) for name in ("web1", "web2", "web3"))  # type: ignore[arg-type]
SHOP = App("shop", ("shop.example.com",), "/r", "HEAD", ".", "main.yml:2", HOSTS)


@pytest.fixture
def flags(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """Return what each host was told; one that is False there already says that nothing changed."""
    told = {"web1": False, "web2": False, "web3": True}

    def call(host: Host, _screen: Screen, message: dict[str, Any]) -> dict[str, Any]:
        before, told[host.name] = told[host.name], message["on"]
        return {"maintenance": message["on"], "changed": before != message["on"]}

    monkeypatch.setattr(maintenance, "call", call)
    monkeypatch.setattr(maintenance.inventory, "load", lambda _: Environment(Path(), (SHOP,), HOSTS))
    return told


def test_every_host_of_the_app_is_told(flags: dict[str, bool], capsys: pytest.CaptureFixture[str]) -> None:
    assert maintenance.maintenance("on", None, None) == Status.DONE
    assert flags == {"web1": True, "web2": True, "web3": True}
    assert capsys.readouterr().out.splitlines() == [
        "shop on web1: maintenance mode is now on",
        "shop on web2: maintenance mode is now on",
        "shop on web3: maintenance mode was already on",
    ]


@pytest.mark.parametrize("word", ["", "onn", "ON", "1"])
def test_a_wrong_word_reaches_no_server(flags: dict[str, bool], capsys: pytest.CaptureFixture[str], word: str) -> None:
    assert maintenance.maintenance(word, None, None) == Status.USAGE
    assert flags == {"web1": False, "web2": False, "web3": True}
    seen = capsys.readouterr()
    assert seen.out == ""
    assert seen.err.startswith("error: maintenance takes on or off")
    assert len(seen.err.splitlines()) == 1


def test_a_host_that_fails_stops_no_other_and_is_reported(
    flags: dict[str, bool], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tell = maintenance.call

    def call(host: Host, screen: Screen, message: dict[str, Any]) -> dict[str, Any]:
        if host.name == "web2":
            raise ServerError(host.name, {"error": {"code": "internal", "message": "the disk is full"}})
        return tell(host, screen, message)

    monkeypatch.setattr(maintenance, "call", call)
    assert maintenance.maintenance("on", "shop", None) == Status.FAILED
    assert flags == {"web1": True, "web2": False, "web3": True}
    assert capsys.readouterr().err == "error: web2: the disk is full\n"


def test_the_status_shows_it(
    flags: dict[str, bool], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verbs, "call", lambda host, *_: {"release": "r1", "maintenance": flags[host.name]})
    assert verbs.status("shop", None, False) == Status.DONE
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "maintenance" in line] == [lines[-1]]
    assert "fab maintenance off --app shop" in lines[-1]
