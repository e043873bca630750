"""The verb `fab maintenance`."""

from __future__ import annotations

from windlass import inventory, messages
from windlass.driver import request
from windlass.errors import Status, WindlassError
from windlass.output import Screen
from windlass.verbs import call, verb

_WORDS = {"on": True, "off": False}


@verb
def maintenance(word: str, app: str | None, env: str | None) -> int:
    """Turn maintenance mode on or off, on each of the app's servers; one that fails does not stop the others."""
    if word not in _WORDS:
        raise messages.bad_maintenance(word)
    screen, chosen = Screen(), inventory.load(env).app(app)
    refusal: WindlassError | None = None
    for host in chosen.hosts:
        try:
            data = call(host, screen, request("maintenance", chosen.name, on=_WORDS[word]))
        except WindlassError as error:
            refusal = refusal or error
            continue
        said = "is now" if data.get("changed") else "was already"
        screen.result(f"{chosen.name} on {host.name}: maintenance mode {said} {word}")
    if refusal:
        raise refusal
    return Status.DONE
