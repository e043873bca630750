"""Supervisor's configuration files of one app: one per process, so that only what changes is touched."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from windlass import messages
from windlass.server import files, names, runner
from windlass.server.environment import Context

STOP_MARGIN = 5
KILLED = 5


@dataclass(frozen=True)
class Program:
    """One program: a colour of `web`, or one of the processes of another name, counted from 1."""

    release: str
    process: str
    colour: str = ""
    number: int = 1
    autostart: bool = True
    whole_group: bool = False

    def name(self, app: str) -> str:
        """The program's and its group's name: `shop-web-blue`, `shop-worker`, `shop-worker.2`."""
        name = "-".join(part for part in (app, self.process, self.colour) if part)
        return f"{name}.{self.number}" if self.number > 1 else name


def process_of(app: str, group: str) -> str:
    """Return the process that a group runs: `web` for `shop-web-blue`, `worker` for `shop-worker.2`."""
    process = group.removeprefix(f"{app}-").partition(".")[0]
    return "web" if process in [f"web-{colour}" for colour in names.COLOURS] else process


def stop_limit(context: Context, group: str) -> float:
    """Return the seconds after which a group that was told to stop has to be gone: Supervisor killed it by then."""
    return context.settings.grace(process_of(context.settings.name, group)) + STOP_MARGIN + KILLED


def file_of(context: Context, name: str) -> Path:
    """Return the configuration file of the program named `name`."""
    return context.paths.supervisor_conf / f"windlass-{name}.conf"


def text(context: Context, program: Program) -> str:
    """Return the configuration file.

    `startretries` is practically endless: a program whose database comes up late must not stay FATAL.
    `stopasgroup` only where a shell stands between Supervisor and the program.
    """
    settings, paths = context.settings, context.paths
    name = program.name(settings.name)
    arguments = (settings.name, program.release, program.process, program.colour)
    values = {
        "command": " ".join(filter(None, (str(paths.program), "launch", *arguments))),
        "directory": "/",
        "autostart": str(program.autostart).lower(),
        "autorestart": "true",
        "startsecs": "1",
        "startretries": "1000000",
        "stopsignal": settings.stop_signal(program.process),
        "stopwaitsecs": str(settings.grace(program.process) + STOP_MARGIN),
        "stopasgroup": str(program.whole_group).lower(),
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": str(paths.supervisor_logs / f"{name}.log"),
        "stdout_logfile_maxbytes": "1MB",
        "stdout_logfile_backups": "1",
    }
    if runner.user(settings.app_user).uid != os.geteuid():
        values["user"] = settings.app_user
    lines = [f"{key}={value}" for key, value in values.items()]
    head = f"; Made by windlass at every release: do not edit.\n[program:{name}]\n"
    return head + "\n".join(lines) + "\n"


def place(context: Context, program: Program) -> Path:
    """Return the file of a program, unless it is another app's."""
    name = program.name(context.settings.name)
    path = file_of(context, name)
    if path.exists() and not _is_of(context, path):
        raise messages.program_name_taken(name, program.process)
    return path


def write(context: Context, program: Program) -> None:
    """Put the program's file in place; Supervisor acts on it at its next start, or when told."""
    files.replace(place(context, program), text(context, program))


def written(context: Context) -> set[str]:
    """Return the names of this app's programs that have a file, by the command that they run."""
    found = context.paths.supervisor_conf.glob(f"windlass-{context.settings.name}-*.conf")
    return {path.name.removeprefix("windlass-").removesuffix(".conf") for path in found if _is_of(context, path)}


def _is_of(context: Context, path: Path) -> bool:
    return f" launch {context.settings.name} " in path.read_text()
