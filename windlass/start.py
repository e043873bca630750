"""How an app is started, as far as its repository and its entry say: `fab check` finds out before a server does."""

from __future__ import annotations

from windlass import source
from windlass.inventory import App
from windlass.server.processes import command, procfile
from windlass.source import Source


def processes(app: App, found: Source) -> dict[str, str]:
    """Return command by process; the `Failure` that a deploy would end with if there is no way to start the app."""
    text = source.read(found, f"{app.directory}/Procfile") or source.read(found, "Procfile")
    commands = procfile.complete(text, app.processes, app.wsgi, lambda: source.folders_with(found, "Procfile"))
    command.web_command(commands["web"], command.Web("SOCKET"))
    return commands
