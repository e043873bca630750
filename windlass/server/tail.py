"""The end of what the app printed, and the one line of it that says why."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from windlass.server.environment import Context

LINES = 40
READ_LIMIT = 256 * 1024
WAIT = 1.0
NAMED = re.compile(r"[A-Za-z_][\w.]*(?::\s.*)?$")
# What gunicorn's master says after a worker told why it did not boot.
CONSEQUENCE = "gunicorn.errors.HaltServer"
TRACEBACK = "Traceback (most recent call last):"
ERROR = re.compile(r"[A-Za-z_][\w.]*(?:Error|Exception|Exit|NotFound|DoesNotExist)(?::\s.*)?$")
# What follows the plain line by which a worker of gunicorn says why it has no app to serve.
GONE = re.compile(r"Worker exiting \(pid: \d+\)|Worker \(pid:\d+\) exited")
LOGGED = re.compile(r"\b(?:error|fatal|critical)\b.*?:\s", re.IGNORECASE)


@dataclass
class Watch:
    """The app's logs from one moment on."""

    context: Context
    processes: list[str]
    since: float = field(default_factory=time.time)
    sizes: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in self._files():
            self.sizes[path] = _identity(path)

    def _files(self) -> list[Path]:
        paths, app = self.context.paths, self.context.settings.name
        own = [
            path for process in self.processes for path in sorted(paths.supervisor_logs.glob(f"{app}-{process}*.log"))
        ]
        return [*own, paths.log]

    def lines(self) -> list[str]:
        """Return what was printed since the moment; wait briefly for a log that lags."""
        end = time.monotonic() + WAIT
        found = self._read()
        while time.monotonic() < end:
            time.sleep(0.05)
            newer = self._read()
            if newer and newer == found and reason(newer):
                break
            found = newer
        return found or self._journal()

    def _read(self) -> list[str]:
        lines: list[str] = []
        for path in self._files():
            inode, size = self.sizes.get(path, (0, 0))
            try:
                with path.open("rb") as file:
                    now_inode, now_size = _identity(path)
                    start = size if now_inode == inode and now_size >= size else 0
                    file.seek(max(start, now_size - READ_LIMIT))
                    text = file.read(READ_LIMIT).decode(errors="replace")
            except OSError:
                continue
            lines += [bare(line, self.context.settings.name) for line in text.splitlines()]
        return lines

    def _journal(self) -> list[str]:
        program = shutil.which("journalctl")
        if not program or not self.context.paths.journal.exists():
            return []
        tags = [f"-t{self.context.settings.name}-{process}" for process in self.processes]
        command = [
            program,
            "-q",
            "-o",
            "cat",
            "--no-pager",
            f"-n{LINES}",
            f"--since=@{self.since:.0f}",
            *tags,
        ]
        found = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        return found.stdout.splitlines()


def _identity(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_ino, status.st_size


def bare(line: str, app: str) -> str:
    """Return the line without what syslog put before it, with the control characters that it escaped."""
    match = re.match(rf"\S.{{0,90}}?\s{re.escape(app)}[\w-]*(?:\[\d+\])?: ?", line)
    text = line[match.end() :] if match else line
    return text.replace("#011", "\t").rstrip()


def reason(lines: list[str]) -> str:
    """Return the exception that ends the last traceback, or the line that names the error, or nothing."""
    found = ""
    inside = False
    for line in lines:
        if line.strip() == TRACEBACK:
            inside = True
        elif inside and line and not line[0].isspace():
            inside = False
            if NAMED.match(line) and not (found and line.startswith(CONSEQUENCE)):
                found = line
        elif not inside and not found and ERROR.match(line):
            found = line
    if not found or found.startswith(CONSEQUENCE):
        found = _last_words(lines) or found or next((line for line in reversed(lines) if LOGGED.search(line)), "")
    return found[:300]


def _last_words(lines: list[str]) -> str:
    """Return what a worker of gunicorn said, outside of its log, just before it ended."""
    for before, line in pairwise(lines):
        if GONE.search(line) and before.strip() and before[0] not in "[ \t":
            return before
    return ""


def because(lines: list[str]) -> str:
    """Return the reason as the end of a sentence."""
    found = reason(lines)
    return f": {found}" if found else ""


def ending(lines: list[str]) -> list[str]:
    """Return the last lines, or those that end with the reason where it is further up."""
    found = reason(lines)
    places = [index for index, line in enumerate(lines) if found and line.startswith(found)]
    last = places[-1] + 1 if places else len(lines)
    return lines[-LINES:] if last > len(lines) - LINES else lines[max(0, last - LINES) : last]
