"""What a person sees while a verb runs: phases with their times, progress of the upload, the app's own lines.

The result goes to stdout, all else to stderr. Colour and moving lines are for a terminal alone;
NO_COLOR is honoured.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

KEPT_LINES = 2000
_COLOURS = {"red": "31", "green": "32", "yellow": "33", "dim": "2", "bold": "1"}


def paint(text: str, colour: str, stream: TextIO) -> str:
    """Return the text in colour if the stream is a terminal that wants it."""
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def printable(text: str) -> str:
    """Return text from a server without the control characters that could change the terminal."""
    return "".join(char if char == "\t" or char.isprintable() else "?" for char in text)


class _InUse:
    """The inventory that was read, as it is typed after `-i`; empty for the one of ansible.cfg."""

    inventory = ""


def use(inventory: str) -> None:
    """Have commands of ansible-playbook shown with this inventory."""
    _InUse.inventory = inventory


def whole(text: str) -> str:
    """Return text with the inventory in each command that would otherwise provision the default one."""
    command = f"ansible-playbook -i {shlex.quote(_InUse.inventory)} site.yml"
    return text.replace("ansible-playbook site.yml", command) if _InUse.inventory else text


class Screen:
    """Where a verb shows how far it is."""

    def __init__(self, verbose: bool = False, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self.verbose = verbose
        self.out = out or sys.stdout
        self.err = err or sys.stderr
        self._moving = False  # a line is on the terminal that will be written over
        self._lines: deque[tuple[str, str]] = deque(maxlen=KEPT_LINES)
        self._printed: set[str] = set()
        self._shown = time.monotonic()

    def line(self, text: str = "") -> None:
        """Write a line of progress."""
        self._clear()
        print(text, file=self.err, flush=True)

    def result(self, text: str) -> None:
        """Write a line of the result."""
        self._clear()
        print(text, file=self.out, flush=True)

    def json(self, value: Any) -> None:
        """Write the result as JSON."""
        print(json.dumps(value, indent=2, ensure_ascii=False), file=self.out, flush=True)

    def heading(self, text: str) -> None:
        """Begin the work on one host."""
        self.line(paint(text, "bold", self.err))

    def note(self, text: str) -> None:
        """Say something that is worth knowing, and no error."""
        self.line(f"  {paint('note:', 'yellow', self.err)} {printable(whole(text))}")

    def phase(self, name: str, status: str, seconds: float | None = None) -> None:
        """Show that a phase began or ended."""
        if status == "start":
            self._move(f"  {name} ...")
            return
        label = f"  {name:<10}"
        if status == "skipped":
            self.line(f"{label}{paint('skipped', 'dim', self.err)}")
        elif status == "failed":
            self.line(f"{label}{paint('failed', 'red', self.err)}{_time(seconds)}")
            self._unroll(name)
        else:
            self.line(f"{label}{paint('done', 'green', self.err)}{_time(seconds)}")

    def output(self, phase: str, line: str) -> None:
        """Show a line that a command of the app printed, or keep it for the case that the phase fails."""
        if self.verbose:
            self.line(f"    {paint(printable(line), 'dim', self.err)}")
            self._printed.add(line)
        else:
            self._lines.append((phase, line))

    def progress(self, name: str, done: int, total: int) -> None:
        """Show how much of the upload is through, ten times a second at most."""
        now = time.monotonic()
        if now - self._shown < 0.1 and done < total:
            return
        self._shown = now
        filled = 30 * done // max(total, 1)
        size = f"{done / 1e6:.1f} of {total / 1e6:.1f} MB"
        self._move(f"  {name:<10}[{'#' * filled}{' ' * (30 - filled)}] {size}")

    def _unroll(self, phase: str) -> None:
        """Show what the failed phase printed."""
        for printed_in, line in self._lines:
            if printed_in == phase:
                self.line(f"    {printable(line)}")
                self._printed.add(line)
        self._lines.clear()

    def unseen(self, log: tuple[str, ...]) -> tuple[str, ...]:
        """Return a log, or nothing if all its lines have been shown as a command's output."""
        return () if self._printed.issuperset(log) else log

    def _move(self, text: str) -> None:
        if self.err.isatty():
            print(f"\r\x1b[K{text}", end="", file=self.err, flush=True)
            self._moving = True

    def _clear(self) -> None:
        if self._moving:
            print("\r\x1b[K", end="", file=self.err, flush=True)
            self._moving = False


def _time(seconds: float | None) -> str:
    return "" if seconds is None else f"  {seconds:6.2f} s"


def show_error(error: Exception, log: Sequence[str] = (), stream: TextIO | None = None) -> None:
    """Write what explains an error, then the error as its line."""
    stream = stream or sys.stderr
    for line in log:
        print(f"    {printable(line)}", file=stream)
    for line in str(error).splitlines():
        print(f"{paint('error:', 'red', stream)} {printable(whole(line))}", file=stream)


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> list[str]:
    """Return rows as aligned lines under their headings; missing values are `-`."""
    cells = [[column.replace("_", " ") for column in columns]]
    cells += [[_cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]


def _cell(value: Any) -> str:
    if value is None or value == "":
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else printable(str(value))


def duration(seconds: float | None) -> str:
    """Return a time span in the largest unit that fits: 45s, 12m, 5h, 3d."""
    if seconds is None:
        return "-"
    for limit, unit, size in ((120, "s", 1), (7200, "m", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds // 86400)}d"


def size(count: int | None) -> str:
    """Return bytes in the largest unit that fits: 512B, 12kB, 3.4MB."""
    if count is None:
        return "-"
    for limit, unit, one in ((1000, "B", 1), (1_000_000, "kB", 1000), (10_000_000, "MB", 1e6)):
        if count < limit:
            return f"{count / one:.1f}{unit}" if unit == "MB" else f"{count // one}{unit}"
    return f"{count / 1e6:.0f}MB" if count < 10e9 else f"{count / 1e9:.0f}GB"
