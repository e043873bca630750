"""The request that comes in and the events that go out, one JSON line each."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from windlass import messages
from windlass.server import masking, names
from windlass.server.errors import Failure

VERSION = 1
ARCHIVE_LIMIT = 4 * 1024**3
MOST = 100
SWITCHES = ("release_command", "follow", "wait", "watch", "downgrade", "restore_snapshot", "confirmed", "on")
CHANGES = ("deploy", "rollback", "restart", "scale")
ACTIONS = (*CHANGES, "releases", "status", "logs", "run", "check", "maintenance", "plan")
TOLD = ("deploy", "plan", "check")  # begin with what the server was told of the entry
OF_PIPELINES = ("deploy", "plan", "check", "status", "releases")
TEXT = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Request:
    """One request, every value checked."""

    action: str
    app: str
    by: str = "somebody"
    commit: str = ""
    version: str = ""
    size: int = 0
    sha256: str = ""
    release_command: bool = True
    release: str = ""
    to: str = ""
    process: str = ""
    follow: bool = False
    lines: int = 100
    command: str = ""
    wait: bool = False
    watch: bool = False
    downgrade: bool = False
    restore_snapshot: bool = False
    confirmed: bool = False
    on: bool | None = None
    counts: dict[str, int] | None = None


def parse(line: bytes) -> Request:
    """Return the request, or raise `Failure` that names what is wrong with it."""
    try:
        data = json.loads(line)
    except ValueError:
        raise messages.bad_request("is not one line of JSON") from None
    if not isinstance(data, dict) or data.get("protocol") != VERSION:
        raise messages.wrong_protocol(VERSION)
    archive = data.pop("archive", None)
    if archive is not None:
        if not isinstance(archive, dict) or set(archive) != {"size", "sha256"}:
            raise messages.bad_request("has a wrong archive")
        data |= archive
    del data["protocol"]
    checked = {key: _value(key, value) for key, value in data.items() if value is not None}
    if "action" not in checked or "app" not in checked:
        raise messages.bad_request("lacks action or app")
    request = Request(**checked)  # type: ignore[arg-type]
    _complete(request)
    return request


def _value(key: str, value: object) -> object:
    """Return the value when it is what the key may hold."""
    patterns = {
        "app": names.APP,
        "by": TEXT,
        "commit": COMMIT,
        "version": TEXT,
        "sha256": DIGEST,
        "release": names.RELEASE,
        "to": names.RELEASE,
        "process": names.PROCESS,
    }
    limits = {"size": (1, ARCHIVE_LIMIT), "lines": (0, 100_000)}
    if key in patterns:
        good = isinstance(value, str) and patterns[key].fullmatch(value) is not None
    elif key in limits:
        low, high = limits[key]
        good = type(value) is int and low <= value <= high
    elif key in SWITCHES:
        good = isinstance(value, bool)
    elif key == "counts":
        good = isinstance(value, dict) and all(_is_count(name, count) for name, count in value.items())
    elif key == "command":
        good = isinstance(value, str) and 0 < len(value) <= 32_000 and "\0" not in value
    else:
        good = key == "action" and value in ACTIONS
    if not good:
        raise messages.bad_request(f"has a wrong {key if key.isidentifier() else 'key'}")
    return value


def _is_count(name: object, count: object) -> bool:
    named = isinstance(name, str) and names.PROCESS.fullmatch(name) is not None
    return named and type(count) is int and 0 <= count <= MOST


def _complete(request: Request) -> None:
    built = ("commit", "version", "size", "sha256")
    needed = {"deploy": built, "plan": built, "run": ("command",), "maintenance": ("on",)}
    for key in needed.get(request.action, ()):
        value = getattr(request, key)
        if not value and value is not False:
            raise messages.bad_request(f"lacks {key}")


def require_deploy_of(app: str, request: Request) -> None:
    """Refuse what the key of a pipeline may not ask for."""
    if request.app != app:
        raise messages.key_of_another_app(app, request.app)
    if request.action not in OF_PIPELINES:
        raise messages.key_only_deploys(app, request.action)


def no_hooks(_when: str, _phase: str) -> None:
    """Do nothing around a phase."""


class Events:
    """Where events go: a file descriptor. A reader that went away is not missed unless `strict`."""

    def __init__(self, handle: int, *, strict: bool = False) -> None:
        self.handle = handle
        self.strict = strict
        self.plain = False  # for a command of the user's own, whose output is wanted as it is
        self.phase_name = ""
        self.on_phase: Callable[[str], None] = lambda name: None
        self.around: Callable[[str, str], None] = no_hooks

    def send(self, event: dict[str, object]) -> None:
        """Write one event, whole, without the secrets that are known."""
        data = json.dumps(event if self.plain else masking.hidden(event)).encode() + b"\n"
        try:
            while data:
                data = data[os.write(self.handle, data) :]
        except OSError:
            if self.strict:
                raise

    def output(self, stream: str, line: str) -> None:
        """Pass on a line that a command printed."""
        self.send({"event": "output", "phase": self.phase_name, "stream": stream, "line": line})

    def note(self, message: str) -> None:
        """Tell the user something on the way."""
        self.send({"event": "note", "message": message})

    def chosen(self, release: str) -> None:
        """Say which release the action is about."""
        self.send({"event": "release", "release": release})

    def skipped(self, name: str) -> None:
        """Say that a phase had nothing to do."""
        self.send({"event": "phase", "phase": name, "status": "skipped", "seconds": 0.0})

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Tell a phase's start and end, with its time and the clock's; a failure in it carries its name."""
        self.phase_name = name
        self.on_phase(name)
        start = time.monotonic()
        self.send({"event": "phase", "phase": name, "status": "start", "at": round(time.time(), 4)})
        status = "failed"
        try:
            self.around("before", name)
            yield
            self.around("after", name)
            status = "done"
        except Failure as failure:
            failure.phase = failure.phase or name
            raise
        finally:
            seconds = round(time.monotonic() - start, 3)
            end = {"seconds": seconds, "at": round(time.time(), 4)}
            self.send({"event": "phase", "phase": name, "status": status, **end})

    def result(self, data: dict[str, object]) -> None:
        """End with success."""
        self.send({"event": "result", "ok": True, "data": data, "at": round(time.time(), 4)})
