"""The two colours of an app's `web`: one serves, the other is idle, starts, or is kept warm."""

from __future__ import annotations

import contextlib

from windlass import messages
from windlass.server.environment import Context
from windlass.server.errors import Failure
from windlass.server.log import State
from windlass.server.processes import command, probe, procfile, programs, sockets
from windlass.server.processes.programs import Program
from windlass.server.processes.supervisor import UP, Process, Supervisor

KILL_AFTER = 2.0
WARM = 10.0


class Colours:
    """Both colours, as Supervisor runs them."""

    def __init__(self, context: Context, supervisor: Supervisor) -> None:
        self.context = context
        self.paths = context.paths
        self.supervisor = supervisor
        self.pid = 0

    def group(self, colour: str) -> str:
        """Return the name of a colour's program."""
        return f"{self.context.settings.name}-web-{colour}"

    def program(self, state: State, *, autostart: bool) -> Program:
        """Return the program of a release in a colour; `autostart` when it is to serve after a reboot."""
        web = command.Web(str(self.paths.socket(state.colour)))
        plain = command.web_command(self._line(state.release), web)[1]
        return Program(state.release, "web", state.colour, autostart=autostart, whole_group=not plain)

    def _line(self, release: str) -> str:
        return procfile.processes_of(self.context.settings, self.paths.releases / release)["web"]

    def process(self, colour: str) -> Process | None:
        """Return the process of a colour as Supervisor sees it."""
        return next(iter(self.supervisor.group(self.group(colour))), None)

    def is_up(self, colour: str) -> bool:
        """Say whether a colour's process is up."""
        found = self.process(colour)
        return found is not None and found.state in UP

    def warm(self, state: State) -> int:
        """Return what a release answers that stands ready in a colour; 0 when visitors cannot be sent there at once."""
        found = self.process(state.colour) if state.release else None
        if not found or found.state not in UP or sockets.release_of(found.pid) != state.release:
            return 0
        path = self.paths.socket(state.colour)
        owner = sockets.owner(path)
        if owner != found.pid and sockets.release_of(owner) != state.release:
            return 0
        answer = probe.ask_socket(path, self.context.settings, min(WARM, self.context.settings.health_timeout))
        return answer.status if answer.good else 0

    def start(self, state: State, *, in_use: bool = False) -> None:
        """Start a release in a colour, after clearing away whatever was left there, with grace if it was in use."""
        self.stop(state.colour, kill_after=None if in_use else KILL_AFTER)
        programs.write(self.context, self.program(state, autostart=False))
        self.supervisor.start([self.group(state.colour)])

    def probe(self, state: State) -> int:
        """Wait until the app is well on its own socket, make sure that it is the release; return its answer."""
        path = self.paths.socket(state.colour)
        answer = probe.wait_until_well(path, self.context.settings, lambda: self._check_alive(state.colour))
        self.require_own(state)
        return answer.status

    def require_own(self, state: State) -> None:
        """Raise `Failure` when a process behind the colour's socket is not of the release."""
        wrong = sockets.strangers(self.paths.socket(state.colour), state.release, self.pid)
        if wrong:
            raise messages.wrong_release(wrong, state.release)

    def _check_alive(self, colour: str) -> None:
        process = self.process(colour)
        if process and process.state in UP and process.pid in (self.pid or process.pid, 0):
            self.pid = self.pid or process.pid
            return
        said = process.error if process and "too quickly" not in process.error else ""
        raise messages.start_failed(said)

    def drain(self, state: State) -> bool:
        """Wait until nobody waits for the colour; say whether that came true within `request_timeout`."""
        graceful = False
        with contextlib.suppress(Failure):  # what runs may have been started with an entry that said more
            graceful = command.is_graceful(self._line(state.release))
        limit = self.context.settings.request_timeout
        return sockets.drain(self.paths.socket(state.colour), limit, connections_too=not graceful)

    def empty(self, colour: str) -> None:
        """Wait until the colour has answered all that it accepted, too."""
        limit = programs.stop_limit(self.context, self.group(colour))
        sockets.drain(self.paths.socket(colour), limit, connections_too=True)

    def stop(self, colour: str, *, kill_after: float | None = None) -> None:
        """Leave nothing of a colour behind, its file first: Supervisor may be on its way down too."""
        group = self.group(colour)
        programs.file_of(self.context, group).unlink(missing_ok=True)
        self.supervisor.stop([group], programs.stop_limit(self.context, group), kill_after=kill_after)
        self.paths.socket(colour).unlink(missing_ok=True)
        self.supervisor.call("reloadConfig")
