"""Commands that run as another user, their output passed on line by line."""

from __future__ import annotations

import os
import pwd
import selectors
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

# Ends a command when whoever started it is killed, and keeps it from programs with more rights than its own. It is part
# of every Debian.
GUARD = Path("/usr/bin/setpriv")
LINE_LIMIT = 4000
TAIL = 40
Emit = Callable[[str, str], None]


@dataclass(frozen=True)
class User:
    """Who a command runs as."""

    name: str
    uid: int
    gid: int
    home: str

    def switch(self) -> dict[str, object]:
        """Return Popen's arguments for becoming this user; none when we already are."""
        if self.uid == os.geteuid():
            return {}
        groups = os.getgrouplist(self.name, self.gid)
        return {"user": self.uid, "group": self.gid, "extra_groups": groups}


def user(name: str) -> User:
    """Look a user up; KeyError when there is none."""
    entry = pwd.getpwnam(name)
    return User(name, entry.pw_uid, entry.pw_gid, entry.pw_dir)


@dataclass(frozen=True)
class Task:
    """One command: what, as whom, where and with which environment; `keep` are handles that it inherits.

    Without `setuid_programs` what it starts gains nothing from a setuid or setgid bit, nor from sudo.
    """

    arguments: Sequence[str]
    user: User
    cwd: Path
    env: Mapping[str, str]
    stdin: IO[bytes] | None = None
    umask: int = 0o022
    keep: tuple[int, ...] = ()
    setuid_programs: bool = False


@dataclass
class Outcome:
    """How a command ended, and the last lines that it printed."""

    status: int
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))


def ignore(_stream: str, _line: str) -> None:
    """Pass no line on."""


def never() -> bool:
    """Say that whoever asked is still there."""
    return False


def guard(*options: str) -> list[str]:
    """Return what stands before a command that the guard looks after, if there is something to see to."""
    return [str(GUARD), *options, "--"] if options and GUARD.exists() else []


def confined(setuid_programs: bool) -> list[str]:
    """Return the guard's option that keeps a command from programs with more rights than its own."""
    return [] if setuid_programs else ["--no-new-privs"]


def run(task: Task, emit: Emit = ignore, gone: Callable[[], bool] = never) -> Outcome:
    """Run to the end, or kill the command and all it started when we are interrupted or the asker is gone."""
    process = subprocess.Popen(
        [*guard("--pdeathsig=TERM", *confined(task.setuid_programs)), *task.arguments],
        cwd=task.cwd,
        env=dict(task.env),
        stdin=task.stdin or subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        umask=task.umask,
        pass_fds=task.keep,
        start_new_session=True,
        **task.user.switch(),  # type: ignore[call-overload]
    )
    outcome = Outcome(0)
    try:
        _pass_on(process, outcome, emit, gone)
        outcome.status = process.wait()
    except BaseException:
        _kill(process)
        raise
    return outcome


def _kill(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
            process.wait(timeout=5)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            continue


def _pass_on(process: subprocess.Popen[bytes], outcome: Outcome, emit: Emit, gone: Callable[[], bool]) -> None:
    """Emit lines until both streams end, or the process has and its children keep them open."""
    rest = {"stdout": b"", "stderr": b""}

    def tell(stream: str, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r")[:LINE_LIMIT]
        outcome.tail.append(text)
        emit(stream, text)

    with selectors.DefaultSelector() as selector:
        for name, pipe in (("stdout", process.stdout), ("stderr", process.stderr)):
            selector.register(pipe, selectors.EVENT_READ, name)  # type: ignore[arg-type]
        while selector.get_map():
            ready = selector.select(timeout=0.5)
            if gone():
                raise BrokenPipeError
            if not ready and process.poll() is not None:
                break
            for key, _ in ready:
                data = os.read(key.fd, 65536)
                *lines, rest[key.data] = (rest[key.data] + data).split(b"\n")
                for line in lines:
                    tell(key.data, line)
                if not data:
                    selector.unregister(key.fileobj)
    for name, data in rest.items():
        if data:
            tell(name, data)
    for opened in (process.stdout, process.stderr):
        if opened:
            opened.close()
