"""The laptop's half of the protocol: a JSON request, events back, an archive when it is asked for."""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from windlass import messages
from windlass.errors import WindlassError, status_of
from windlass.output import Screen
from windlass.source import Archive

if TYPE_CHECKING:
    from windlass.hooks import Hooks

PROTOCOL = 1
Event = dict[str, Any]


class Wire(Protocol):
    """What the driver needs of a connection; tests give it a subprocess."""

    def send(self, data: bytes | memoryview) -> int:
        """Send some of the data and return how much."""

    def receive(self) -> bytes:
        """Return what has come, or nothing at the end."""

    def complaint(self) -> str:
        """Return what came on stderr."""

    def close(self) -> None:
        """End the connection."""


class ServerError(WindlassError):
    """The server's own error. `switched` says whether visitors already see the new release."""

    def __init__(self, host: str, result: Event) -> None:
        error = result.get("error") or {}
        self.code = str(error.get("code", "failed"))
        self.switched = bool(result.get("switched"))
        log = tuple(str(line) for line in error.get("log") or ())
        said = messages.from_server(host, str(error.get("message") or ""), str(error.get("hint") or ""))
        super().__init__(said.message, said.hint, status_of(self.code, self.switched), log)


class Call:
    """One request to one server, until its result."""

    def __init__(
        self,
        wire: Wire,
        host: str,
        screen: Screen,
        on_output: Callable[[Event], None] | None = None,
        hooks: Hooks | None = None,
        on_entry: Callable[[Event], None] | None = None,
    ) -> None:
        self.wire = wire
        self.host = host
        self.screen = screen
        self.on_output = on_output or self._kept
        self.hooks = hooks
        self.on_entry = on_entry
        self.release = ""  # which one the server works on, once it has said so
        self.under_way = False  # the server has all it needs and goes on without us
        self._rest = b""  # of a line that has not come whole yet

    def run(self, request: Event, archive: Archive | None = None) -> Event:
        """Send the request, follow its events and return the data of its result."""
        from windlass.connection import PATIENCE, LinkGoneError

        try:
            return self._run(request, archive)
        except LinkGoneError as error:
            raise messages.link_gone(self.host, PATIENCE, self.under_way) from error
        except OSError as error:
            raise messages.link_closed(self.host, self.under_way) from error
        except KeyboardInterrupt as error:
            raise self._taken_back(request) from error
        finally:
            self.wire.close()

    def _taken_back(self, request: Event) -> WindlassError:
        """Have the server take back what it has begun, if it can still, and return how that ended."""
        if not self.under_way:
            return messages.interrupted(under_way=False, command=request["action"] == "run")
        self.screen.note(messages.note_taking_back())
        try:
            self._send(b"cancel\n")
            data = self._follow(request)
        except ServerError as error:
            return error
        except (KeyboardInterrupt, OSError, WindlassError):
            return messages.interrupted(under_way=True)
        return messages.interrupted_too_late(self.host, str(data.get("release") or "the release"))

    def _run(self, request: Event, archive: Archive | None) -> Event:
        self._send(json.dumps(request, ensure_ascii=False).encode() + b"\n")
        return self._follow(request, archive)

    def _follow(self, request: Event, archive: Archive | None = None) -> Event:
        """Do what the server's events ask for, until its result."""
        changes = request["action"] in ("rollback", "restart") or "counts" in request
        for event in self._events():
            kind = event.get("event")
            self.under_way |= changes and _has_begun(event)
            if kind == "send" and archive is not None:
                self._upload(archive)
                self.under_way = request["action"] == "deploy"
            elif kind == "result":
                if not event.get("ok"):
                    error = ServerError(self.host, event)
                    error.log = self.screen.unseen(error.log)
                    raise error
                return dict(event.get("data") or {})
            else:
                self._show(event)
        raise self._ended()

    def _show(self, event: Event) -> None:
        kind = event.get("event")
        if kind == "phase":
            self._phase(str(event.get("phase")), str(event.get("status")), event.get("seconds"))
        elif kind == "release":
            self.release = str(event.get("release", ""))
        elif kind == "entry" and self.on_entry:
            self.on_entry(event)
        elif kind == "output":
            self.on_output(event)
        elif kind == "note":
            self.screen.note(str(event.get("message", "")))

    def _phase(self, name: str, status: str, seconds: float | None) -> None:
        self.screen.phase(name, status, seconds)
        when = {"start": "before", "done": "after"}.get(status)
        if self.hooks and when and f"{when}-{name}" != "before-check":  # which ran before the call
            self.hooks.run(f"{when}-{name}", can_refuse=not self.under_way, host=self.host, release=self.release)

    def _kept(self, event: Event) -> None:
        self.screen.output(str(event.get("phase", "")), str(event.get("line", "")))

    def _events(self) -> Iterator[Event]:
        while data := self.wire.receive():
            self._rest += data
            while b"\n" in self._rest:
                line, _, self._rest = self._rest.partition(b"\n")
                if line.strip():
                    yield self._event(line)

    def _event(self, line: bytes) -> Event:
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            raise messages.unreadable_answer(self.host, line.decode(errors="replace"))
        return event

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[self.wire.send(view) :]

    def _upload(self, archive: Archive) -> None:
        archive.file.seek(0)
        done = 0
        while block := archive.file.read(1 << 16):
            self._send(block)
            done += len(block)
            self.screen.progress("upload", done, archive.size)

    def _ended(self) -> WindlassError:
        """The server stopped without a result: say why, as far as it can be known."""
        complaint = self.wire.complaint()
        if complaint and not self.under_way:
            return messages.not_provisioned(self.host, complaint.splitlines()[-1])
        return messages.link_closed(self.host, self.under_way)


def _has_begun(event: Event) -> bool:
    """Say whether the server is past its checks, from where it goes on by itself."""
    return event.get("event") == "phase" and (event.get("phase"), event.get("status")) != ("check", "start")


def request(action: str, app: str, **more: Any) -> Event:
    """Return a request, without the keys that are None."""
    return {
        "protocol": PROTOCOL,
        "action": action,
        "app": app,
        "by": os.environ.get("WINDLASS_BY", "")[:200] or f"{getpass.getuser()}@{socket.gethostname()}",
        **{key: value for key, value in more.items() if value is not None},
    }
