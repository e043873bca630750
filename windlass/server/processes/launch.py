"""What Supervisor starts, as the app's user: it prepares the process and becomes it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import sys
from pathlib import Path

from windlass import messages
from windlass.server import environment, names, runner, settings
from windlass.server.environment import Context
from windlass.server.errors import Failure
from windlass.server.paths import Paths
from windlass.server.processes import command, procfile, strays
from windlass.server.rollout import links

OOM_SCORE = 300  # of 1000: as if it took a third of the memory more than it does

INFO = 6


def launch(prefix: Path, arguments: list[str]) -> int:
    """Become `app release process [colour]`; on a fault say it in one line and return a status."""
    app, release, process, *rest = [*arguments, "", "", ""][:4]
    colour = rest[0]
    checks = ((names.APP, app), (names.RELEASE, release), (names.PROCESS, process))
    if not all(pattern.fullmatch(value) for pattern, value in checks) or colour not in ("", *names.COLOURS):
        print("usage: windlass launch APP RELEASE PROCESS [COLOUR]", file=sys.stderr)
        return 2
    paths = Paths(prefix, app)
    to_journal(paths.journal, f"{app}-{process}")
    try:
        context = Context(paths, settings.load(paths.settings))
        _become(context, release, process, colour)
    except (Failure, OSError) as error:
        print(f"windlass: {process} of {release} cannot start: {error}", file=sys.stderr)
    return 1


def _become(context: Context, release: str, process: str, colour: str) -> None:
    paths = context.paths
    folder = (paths.releases / release).resolve(strict=True)
    line = command_line(context, folder, process, colour)
    values = environment.of_process(context, release, process)
    if colour:
        values |= {"SOCKET": str(paths.socket(colour)), "WINDLASS_COLOUR": colour}
        links.restore(paths, release, colour)
    _clear(context, process, values)
    os.chdir(folder / context.settings.directory)
    os.umask(0o022)
    _offer_itself()
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores both, and exec would hand that on
        signal.signal(number, signal.SIG_DFL)
    become = [*runner.guard(*runner.confined(context.settings.setuid_programs)), "/bin/sh", "-c", line]
    os.execve(become[0], become, values)  # noqa: S606


def _offer_itself() -> None:
    """Have the kernel take this process, which comes back, before a database or Supervisor when memory runs out."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE))


def _clear(context: Context, process: str, values: dict[str, str]) -> None:
    """End what an earlier Supervisor left of the process; one that may never be two begins when that is gone."""
    number = signal.Signals[f"SIG{context.settings.stop_signal(process)}"]
    if process in context.settings.single:
        strays.hold(context.paths.process_lock(process), values, number, context.settings.grace(process))
    else:
        strays.end(values, number)


def command_line(context: Context, folder: Path, process: str, colour: str) -> str:
    """Return the shell line of the process; `Failure` when the release has no such process."""
    processes = procfile.processes_of(context.settings, folder)
    if process not in processes:
        raise messages.no_such_process(process)
    if not colour:
        return command.plain_command(processes[process])[0]
    return command.web_command(processes[process], web_of(context, folder, colour))[0]


def web_of(context: Context, folder: Path, colour: str) -> command.Web:
    """Return what the web command of this release is placed with."""
    chosen = context.settings
    return command.Web(
        socket=str(context.paths.socket(colour)),
        request_timeout=chosen.request_timeout,
        stop_timeout=chosen.grace("web"),
        control_socket=_has_control_socket(folder),
        keeps_connections=chosen.upstream_keepalive > 0,
        configured=_configured(folder / chosen.directory / "gunicorn.conf.py"),
    )


def _has_control_socket(folder: Path) -> bool:
    found = next(folder.glob(".venv/lib/python*/site-packages/gunicorn/config.py"), None)
    return found is not None and "--no-control-socket" in found.read_text(errors="replace")


def _configured(path: Path) -> frozenset[str]:
    """Return the options that gunicorn's configuration file sets; gunicorn finds it by this name."""
    if not path.is_file():
        return frozenset()
    return frozenset(re.findall(r"^\s*(timeout|graceful_timeout)\s*=", path.read_text(errors="replace"), re.M))


def to_journal(journal: Path, identifier: str) -> None:
    """Send what the process prints to journald under this name; without journald leave it alone."""
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        stream.connect(str(journal))
    except OSError:
        stream.close()
        return
    # sd_journal_stream_fd(3): identifier, unit, priority, level prefix, to syslog, to kmsg, to console
    stream.sendall(f"{identifier}\n\n{INFO}\n0\n1\n0\n0\n".encode())
    stream.shutdown(socket.SHUT_RD)
    os.dup2(stream.fileno(), 1)
    os.dup2(stream.fileno(), 2)
    stream.close()
