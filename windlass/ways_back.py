"""What `fab rollback` may do with the database: what it was told to, after asking where data goes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from windlass import confirm, messages
from windlass.driver import Event, ServerError, request
from windlass.errors import WindlassError
from windlass.inventory import App, Host
from windlass.output import Screen

Ask = Callable[[Host, Event], Event]


@dataclass(frozen=True)
class Ways:
    """The options of the command line."""

    downgrade: bool = False
    restore_snapshot: bool = False
    yes: bool = False

    def check(self) -> None:
        """Refuse both at once."""
        if self.downgrade and self.restore_snapshot:
            raise messages.two_ways_back()

    @property
    def asked_for(self) -> Event:
        """What the request says of them."""
        chosen = {"downgrade": self.downgrade, "restore_snapshot": self.restore_snapshot, "confirmed": self.yes}
        return {name: True for name, wanted in chosen.items() if wanted}


def go(ask: Ask, host: Host, message: Event) -> Event:
    """Make the request; where the server says what would be lost, ask whether that may be."""
    try:
        return ask(host, message)
    except ServerError as error:
        if error.code != "confirm-restore" or not sys.stdin.isatty():
            raise
        confirm.ask(f"{error.message}; go on?", False)
    return ask(host, message | {"confirmed": True})


@contextmanager
def others_closed(app: App, screen: Screen, ways: Ways, ask: Ask) -> Iterator[None]:
    """Keep visitors away from the app's other servers, whose code would meet a database of another release."""
    closed: list[Host] = []
    try:
        for host in app.hosts[1:] if ways.downgrade or ways.restore_snapshot else ():
            if ask(host, request("maintenance", app.name, on=True)).get("changed"):
                closed.append(host)
        yield
    finally:
        for host in closed:
            try:
                ask(host, request("maintenance", app.name, on=False))
            except WindlassError as error:
                screen.note(messages.note_still_closed(app.name, host.name, error.message))
