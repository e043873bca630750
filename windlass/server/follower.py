"""A log file that grows and is rotated."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


class Follower:
    """A log file that is read to its end, again and again, and anew when it was rotated."""

    def __init__(self, path: Path, *, at_end: bool = False) -> None:
        self.path = path
        self.inode = 0
        self.offset = 0
        if at_end and path.exists():
            status = path.stat()
            self.inode, self.offset = status.st_ino, status.st_size

    def raw_lines(self) -> Iterator[bytes]:
        """Give the lines that the file gained; one that is not ended yet waits for the next time."""
        try:
            file = self.path.open("rb")
        except OSError:
            return
        with file:
            status = os.fstat(file.fileno())
            if status.st_ino != self.inode or status.st_size < self.offset:
                self.inode, self.offset = status.st_ino, 0
            file.seek(self.offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self.offset += len(line)
                yield line

    def lines(self) -> Iterator[str]:
        """Give the new lines as text."""
        for line in self.raw_lines():
            yield line.decode(errors="replace").rstrip("\r\n")
