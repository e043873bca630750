"""From the command that an app names to the command that runs: on the colour's socket, without a shell."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePath

from windlass import messages
from windlass.server.processes.shell import Word, segments, split, with_exec

RUNNERS = ("uv", "poetry", "pipenv", "pdm", "rye")
# Seconds that an app keeps an idle connection when nginx keeps some too. nginx closes its end after 10 s, long before:
# a request that it sends while the app closes is lost, and is not sent again.
KEEP_ALIVE = 30
HEADERS = "x-forwarded-for x-forwarded-proto x-forwarded-host"


@dataclass(frozen=True)
class Web:
    """What a web command is placed with; times are seconds.

    `configured` holds the options that the app's own gunicorn configuration sets: they are left to it.
    """

    socket: str
    request_timeout: int = 60
    stop_timeout: int = 30
    control_socket: bool = False
    keeps_connections: bool = False
    configured: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True)
class Server:
    """How one WSGI or ASGI server is told its socket.

    `valued` options take a value, `flags` take none; both are dropped from the command. A server is
    `graceful` when SIGTERM lets it answer the requests that it has accepted. `keep_alive` is the option for the
    time that it keeps an idle connection; a server without one keeps none, or keeps it longer than nginx does.
    """

    module: str
    valued: tuple[str, ...]
    flags: tuple[str, ...]
    arguments: Callable[[Web, list[str]], list[str]]
    graceful: bool = True
    keep_alive: str = ""


def _gunicorn(web: Web, given: list[str]) -> list[str]:
    added = ["--bind", f"unix:{web.socket}"]
    if web.control_socket:
        added.append("--no-control-socket")
    if _named(given, "-c", "--config"):
        return added
    if not _named(given, "-t", "--timeout") and "timeout" not in web.configured:
        added += ["--timeout", str(web.request_timeout)]
    if not _named(given, "--graceful-timeout") and "graceful_timeout" not in web.configured:
        added += ["--graceful-timeout", str(web.stop_timeout)]
    return added


def _waitress(web: Web, given: list[str]) -> list[str]:
    added = [f"--unix-socket={web.socket}", "--unix-socket-perms=666"]
    if not _named(given, "--trusted-proxy"):
        added += ["--trusted-proxy=localhost", f"--trusted-proxy-headers='{HEADERS}'"]
    return added


def _uwsgi(web: Web, given: list[str]) -> list[str]:
    return ["--http-socket", web.socket, "--chmod-socket=666", "--die-on-term"]


SERVERS = {
    "gunicorn": Server(
        "gunicorn", ("-b", "--bind", "-p", "--pid"), ("-D", "--daemon"), _gunicorn, keep_alive="--keep-alive"
    ),
    "waitress-serve": Server(
        "waitress",
        ("--host", "--port", "--listen", "--unix-socket", "--unix-socket-perms"),
        (),
        _waitress,
        False,
    ),
    "uwsgi": Server("", ("--http", "--http-socket", "--socket", "-s", "--uwsgi-socket", "--https"), (), _uwsgi, False),
    "uvicorn": Server(
        "uvicorn",
        ("--host", "--port", "--uds", "--fd"),
        ("--reload",),
        lambda web, _: ["--uds", web.socket],
        keep_alive="--timeout-keep-alive",
    ),
    "hypercorn": Server(
        "hypercorn",
        ("-b", "--bind", "--insecure-bind", "-p", "--pid", "-m", "--umask"),
        ("--reload",),
        lambda web, _: ["--bind", f"unix:{web.socket}", "--umask", "0"],
        keep_alive="--keep-alive",
    ),
    "daphne": Server(
        "daphne",
        ("-b", "--bind", "-p", "--port", "-u", "--unix-socket", "-e", "--endpoint", "--fd"),
        (),
        lambda web, _: ["-u", web.socket],
        False,
    ),
}
MODULES = {server.module: name for name, server in SERVERS.items() if server.module}


def web_command(command: str, web: Web) -> tuple[str, bool]:
    """Return the command on the colour's socket, and whether it takes the shell's place.

    A server that is not known must name `$SOCKET` itself; else `Failure`.
    """
    groups = [_without_runner(group) for group in segments(split(command))]
    for index, group in enumerate(groups):
        if placed := _placed(group, web):
            groups[index] = placed
            return with_exec(groups)
    if re.search(r"\$\{?SOCKET\b", command):
        return with_exec(groups)
    raise messages.web_command_unknown(command, list(SERVERS))


def plain_command(command: str) -> tuple[str, bool]:
    """Return the command of any other process, and whether it takes the shell's place."""
    return with_exec([_without_runner(group) for group in segments(split(command))])


def is_graceful(command: str) -> bool:
    """Say whether the web command's server answers what it has accepted before it stops."""
    for group in segments(split(command)):
        found = _find(group)
        if found:
            return SERVERS[found[0]].graceful
    return False


def uses_gunicorn(command: str) -> bool:
    """Say whether the command starts gunicorn."""
    return any((_find(group) or ("",))[0] == "gunicorn" for group in segments(split(command)))


def _without_runner(group: list[Word]) -> list[Word]:
    """Drop `uv run` and its like: the release's own environment is on the PATH, and they would sync it."""
    for index, word in enumerate(group[:-1]):
        if PurePath(word.value).name in RUNNERS and group[index + 1].value == "run":
            rest = index + 2
            while rest < len(group) and group[rest].value.startswith("-"):
                rest += 1
            return group[:index] + group[rest:]
        if "=" not in word.value and word.value not in ("exec", "env"):
            break
    return group


def _find(group: list[Word]) -> tuple[str, int, int] | None:
    """Return the server's name, where its words begin and where its arguments do."""
    for index, word in enumerate(group):
        name = PurePath(word.value).name
        if name in SERVERS:
            if index and group[index - 1].value == "-m":
                continue
            return name, index, index + 1
        is_python = re.fullmatch(r"python[\d.]*", name)
        if is_python and len(group) > index + 2 and group[index + 1].value == "-m":
            module = MODULES.get(group[index + 2].value.split(".")[0])
            if module:
                return module, index, index + 3
    return None


def _placed(group: list[Word], web: Web) -> list[Word] | None:
    found = _find(group)
    if not found:
        return None
    name, start, rest = found
    server = SERVERS[name]
    keep_alive = [server.keep_alive] if web.keeps_connections and server.keep_alive else []
    kept = _without(group[rest:], (*server.valued, *keep_alive), server.flags)
    program = ["python", "-m", server.module] if server.module else [name]
    added = server.arguments(web, [word.value for word in kept])
    added += [f"{option}={KEEP_ALIVE}" for option in keep_alive]
    return [*group[:start], *(Word(raw, raw) for raw in [*program, *added]), *kept]


def _without(words: list[Word], valued: tuple[str, ...], flags: tuple[str, ...]) -> list[Word]:
    """Drop the server's own ideas of where to listen: `-b X`, `-bX`, `--bind X` and `--bind=X`."""
    kept: list[Word] = []
    skip = False
    for word in words:
        value = word.value
        if skip:
            skip = False
        elif value in valued:
            skip = True
        elif value not in flags and not _carries(value, valued):
            kept.append(word)
    return kept


def _carries(value: str, options: tuple[str, ...]) -> bool:
    if value.startswith("--"):
        return value.split("=")[0] in options and "=" in value
    return value.startswith("-") and len(value) > 2 and value[:2] in options


def _named(given: list[str], *options: str) -> bool:
    return any(value in options or _carries(value, options) for value in given)
