"""Can a release be made here now? Every reason why not, with what to do about it."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from urllib.parse import parse_qs, unquote, urlsplit

from windlass import messages
from windlass.server import environment, lock, runner
from windlass.server.database import owner
from windlass.server.environment import Context
from windlass.server.errors import Failure
from windlass.server.processes.supervisor import Supervisor

FREE_BYTES = 300 * 1024**2
FREE_INODES = 10_000
CONNECT = 3.0
PORTS = {"postgresql": 5432, "redis": 6379}
ALWAYS = ("settings", "supervisor", "nginx")


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    message: str
    hint: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return it as the protocol has it."""
        return {"name": self.name, "ok": self.ok, "message": self.message, "hint": self.hint}


def all_checks(context: Context) -> list[Check]:
    """Look at everything that a release needs."""
    return [_guard(name, look) for name, look in _looks(context).items()]


def _looks(context: Context, size: int = 0) -> dict[str, Callable[[], str]]:
    """Return by name how each thing is looked at; `size` is the archive's, in bytes."""
    return {
        "lock": partial(_lock, context),
        "disk": partial(_disk, context, size),
        "inodes": partial(_inodes, context),
        "settings": partial(_settings, context),
        "uv": partial(_uv, context),
        "python": partial(_python, context),
        "supervisor": partial(_supervisor, context),
        "nginx": partial(_nginx, context),
        **{service: partial(_service, context, service) for service in context.settings.services},
    }


def require(context: Context, size: int = 0, *, build: bool = True) -> None:
    """Raise `Failure` for the first check that is not passed.

    What is built already needs less: no full disk and no service that is down keeps anybody from going back.
    """
    for name, look in _looks(context, size).items():
        wanted = name in ALWAYS or (build and name != "lock")
        if wanted and not (check := _guard(name, look)).ok:
            raise messages.check_failed(check.name, check.message, check.hint)


def _guard(name: str, look: Callable[[], str]) -> Check:
    try:
        return Check(name, True, look())
    except Failure as failure:
        return Check(name, False, failure.message, failure.hint)


def _lock(context: Context) -> str:
    held = lock.holder(context.paths.state / "lock")
    if held is not None and not lock.ends_at_once(held):
        raise messages.locked(held)
    return "free"


def _disk(context: Context, size: int) -> str:
    free = min(shutil.disk_usage(path).free for path in (context.paths.home, context.paths.state))
    if free < FREE_BYTES + 4 * size:
        raise messages.disk_short(free // 1024**2)
    return f"{free // 1024**2} MB free"


def _inodes(context: Context) -> str:
    status = os.statvfs(context.paths.home)
    if status.f_files == 0:
        return "the file system does not count them"
    if status.f_favail < FREE_INODES:
        raise messages.inodes_short(status.f_favail)
    return f"{status.f_favail} free"


def _settings(context: Context) -> str:
    environment.app_values(context.paths)
    users = [context.settings.app_user, context.settings.builder]
    if owner.owns(context):
        users.append(context.settings.owner_user or context.settings.owner)
    for name in users:
        try:
            runner.user(name)
        except KeyError:
            raise messages.user_missing(name) from None
    return "readable"


def _uv(context: Context) -> str:
    if not os.access(context.paths.uv, os.X_OK):
        raise messages.uv_missing(context.paths.uv)
    return str(context.paths.uv)


def _python(context: Context) -> str:
    if context.settings.python:
        return f"{context.settings.python}, by uv"
    if not context.paths.python.exists():
        raise messages.python_missing(context.paths.python)
    return str(context.paths.python.resolve())


def _supervisor(context: Context) -> str:
    state = Supervisor(context.paths.supervisor_socket).call("getState")["statename"]
    if state != "RUNNING":
        raise messages.supervisor_not_running(state)
    return "running"


def _nginx(context: Context) -> str:
    front = context.settings.front
    if front is None:
        return "not on this server"
    address = (str(front.get("address", "127.0.0.1")), int(str(front.get("port", 443))))
    return _connect(socket.AF_INET, address, "nginx")


def _service(context: Context, service: str) -> str:
    key = {"postgresql": "DATABASE_URL", "redis": "REDIS_URL"}.get(service)
    url = environment.app_values(context.paths).get(key or "", "")
    if not url:
        return f"{key} is not set: not looked at"
    try:
        family, address = address_of(url, service)
    except ValueError:  # of a password with a slash in it, say, which the app may understand: nothing of it is shown
        return f"{key} is not written as a URL: not looked at"
    return _connect(family, address, service)


def address_of(url: str, service: str) -> tuple[int, str | tuple[str, int]]:
    """Return where the URL of a service points: a socket's path, or host and port."""
    parts = urlsplit(url)
    port = parts.port or PORTS[service]
    host = parse_qs(parts.query).get("host", [unquote(parts.hostname or "")])[0]
    if parts.scheme in ("unix", "redis+socket", "valkey+unix"):
        return socket.AF_UNIX, unquote(parts.path)
    if service == "postgresql" and (host.startswith("/") or not host):
        return socket.AF_UNIX, f"{host or '/var/run/postgresql'}/.s.PGSQL.{port}"
    return socket.AF_INET, (host or "localhost", port)


def _connect(family: int, address: str | tuple[str, int], name: str) -> str:
    try:
        if isinstance(address, tuple):
            socket.create_connection(address, CONNECT).close()
        else:
            with socket.socket(family, socket.SOCK_STREAM) as opened:
                opened.settimeout(CONNECT)
                opened.connect(address)
    except OSError as error:
        where = address if isinstance(address, str) else f"{address[0]}:{address[1]}"
        raise messages.service_silent(name, where, error.strerror or str(error)) from None
    return "answers"
