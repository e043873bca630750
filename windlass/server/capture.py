"""Short commands whose output is read by this program, bounded in time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from windlass.server import runner
from windlass.server.runner import User


@dataclass(frozen=True)
class Answer:
    """What a command printed, and its status; 124 when it took too long."""

    status: int
    output: str
    errors: str

    @property
    def last_error(self) -> str:
        """The last line of what it complained about."""
        said = [line.strip() for line in self.errors.splitlines() if line.strip()]
        return said[-1][:300] if said else f"status {self.status}"


@dataclass(frozen=True)
class Question:
    """One command; `stdin` and `stdout` are open files where its text is not wanted here."""

    arguments: Sequence[str]
    user: User
    env: Mapping[str, str]
    cwd: Path = Path("/")
    text: str = ""
    stdin: IO[bytes] | None = None
    stdout: IO[bytes] | None = None


def ask(question: Question, limit: float | None = 60.0) -> Answer:
    """Run a command, which can gain no rights, for at most `limit` seconds, and return what it said."""
    process = subprocess.Popen(
        [*runner.guard(*runner.confined(False)), *question.arguments],
        cwd=question.cwd,
        env=dict(question.env),
        stdin=question.stdin or subprocess.PIPE,
        stdout=question.stdout or subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        **question.user.switch(),  # type: ignore[call-overload]
    )
    text = question.text.encode() if question.stdin is None else None
    try:
        output, errors = process.communicate(text, timeout=limit)
    except subprocess.TimeoutExpired:
        _end(process)
        return Answer(124, "", f"no answer within {limit:.0f} s")
    except BaseException:
        _end(process)
        raise
    return Answer(process.returncode, (output or b"").decode(errors="replace"), errors.decode(errors="replace"))


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
