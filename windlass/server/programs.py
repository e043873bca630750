"""Supervisor's configuration files of one app: one per program, so that only what changes is touched."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from windlass.server import files, runner
from windlass.server.environment import Context

STOP_MARGIN = 5


@dataclass(frozen=True)
class Program:
    """One program: a colour of `web`, or another process."""

    release: str
    process: str
    colour: str = ""
    count: int = 1
    autostart: bool = True
    whole_group: bool = False

    def name(self, app: str) -> str:
        """The program's and its group's name."""
        return "-".join(part for part in (app, self.process, self.colour) if part)


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
        "stopsignal": "TERM",
        "stopwaitsecs": str(settings.stop_timeout + STOP_MARGIN),
        "stopasgroup": str(program.whole_group).lower(),
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": str(paths.supervisor_logs / f"{name}.log"),
        "stdout_logfile_maxbytes": "1MB",
        "stdout_logfile_backups": "1",
    }
    if runner.user(settings.app_user).uid != os.geteuid():
        values["user"] = settings.app_user
    if program.count > 1:
        values |= {"numprocs": str(program.count), "process_name": "%(program_name)s-%(process_num)02d"}
    lines = [f"{key}={value}" for key, value in values.items()]
    head = f"; Made by windlass at every release: do not edit.\n[program:{name}]\n"
    return head + "\n".join(lines) + "\n"


def write(context: Context, program: Program) -> None:
    """Put the program's file in place; Supervisor acts on it at its next start, or when told."""
    files.replace(file_of(context, program.name(context.settings.name)), text(context, program))


def written(context: Context) -> set[str]:
    """Return the names of this app's programs that have a file, by the command that they run."""
    found = set()
    for path in context.paths.supervisor_conf.glob(f"windlass-{context.settings.name}-*.conf"):
        if f" launch {context.settings.name} " in path.read_text():
            found.add(path.name.removeprefix("windlass-").removesuffix(".conf"))
    return found
