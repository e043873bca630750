"""What `fab rollback` may do with the database: what it was told to, after asking where data goes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field

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


@dataclass
class Others:
    """The app's servers after the first: their code would meet a database of another release."""

    app: App
    screen: Screen
    ask: Ask
    closed: list[Host] = field(default_factory=list)
    agreed: bool = False

    def close(self) -> None:
        """Keep visitors away from them."""
        for host in self.app.hosts[1:] if not self.closed else ():
            if self.ask(host, request("maintenance", self.app.name, on=True)).get("changed"):
                self.closed.append(host)

    def open(self) -> None:
        """Let visitors in again where we kept them away."""
        for host in self.closed:
            try:
                self.ask(host, request("maintenance", self.app.name, on=False))
            except WindlassError as error:
                self.screen.note(messages.note_still_closed(self.app.name, host.name, error.message))


def go(ask: Ask, host: Host, message: Event, others: Others) -> Event:
    """Make the request; where the server says what would be lost, ask whether that may be."""
    message = message | ({"confirmed": True} if others.agreed else {})
    if message.get("downgrade") or message.get("confirmed"):
        others.close()
    try:
        return ask(host, message)
    except ServerError as error:
        if error.code != "confirm-restore" or not sys.stdin.isatty():
            raise
        confirm.ask(f"{error.message}; go on?", False)
    others.close()
    others.agreed = True
    return ask(host, message | {"confirmed": True})
