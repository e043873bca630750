"""Constant load on a guestbook, of the kinds that a switch of releases can hurt.

Kept connections and new ones, reads and writes, pages and their assets, and requests that are under way for half a
second. Each kind is sent by a process of its own: what watches the site must not slow down what visits it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO

from tests.support.load.sample import Sample
from tests.support.repository import ROOT
from tests.support.visitor import Visitor


@dataclass(frozen=True)
class Group:
    """Visitors that ask at the same time, over kept connections and over a new one each time; seconds between two."""

    kept: int
    new: int
    pause: float = 0.02


Crowd = Mapping[str, Group]
EASY: Crowd = {"read": Group(2, 2), "write": Group(1, 0), "slow": Group(2, 0)}
MAXIMUM_SECONDS = 180.0
BEGIN_SECONDS = 20.0
END_SECONDS = 60.0


def crowd_for(slots: int) -> Crowd:
    """Return a crowd that keeps an app of so many slots busy with slow requests alone, and the others waiting.

    The others pause, because a server whose processors have nothing left says little about a switch.
    """
    slow, others = slots * 3 // 4, max(slots // 3, 4)
    return {
        "slow": Group(slow, slow, 0.0),
        "read": Group(3 * others, others, 0.15),
        "page": Group(others, others, 0.15),
        "write": Group(others, others, 0.15),
        "upload": Group(2, 2, 0.15),
        "asset": Group(1, 1, 0.15),
    }


@dataclass
class Load:
    """Requests from `with` until its end, and never for longer than `seconds`.

    `samples` are complete after the end.
    """

    visitor: Visitor
    crowd: Crowd = field(default_factory=lambda: EASY)
    seconds: float = MAXIMUM_SECONDS
    samples: list[Sample] = field(default_factory=list)
    _senders: list[tuple[subprocess.Popen[bytes], IO[bytes]]] = field(default_factory=list)

    def __enter__(self) -> Load:
        for kind, group in self.crowd.items():
            told = tempfile.TemporaryFile()
            command = [sys.executable, "-m", "tests.support.load.sender"]
            sender = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=told)
            order = {"host": self.visitor.host, "address": self.visitor.address, "ca": str(self.visitor.ca)}
            order |= {"kind": kind, "seconds": self.seconds, **asdict(group)}
            assert sender.stdin is not None
            sender.stdin.write(json.dumps(order).encode() + b"\n")
            sender.stdin.flush()
            self._senders.append((sender, told))
        try:
            self._wait_for_the_first()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()
        for _, told in self._senders:
            told.seek(0)
            self.samples += [Sample(*json.loads(line)) for line in told if line.endswith(b"\n")]
            told.close()
        self.samples.sort(key=lambda sample: sample.sent)
        broken = [sender.returncode for sender, _ in self._senders if sender.returncode]
        assert not broken or kind, f"the load broke down: exit status {broken}"

    def _end(self) -> None:
        """End the senders, once what is under way has been answered."""
        for sender, _ in self._senders:
            assert sender.stdin is not None
            sender.stdin.close()
        for sender, _ in self._senders:
            try:
                sender.wait(timeout=END_SECONDS)
            except subprocess.TimeoutExpired:
                sender.kill()
                sender.wait()

    def _wait_for_the_first(self) -> None:
        """Return when every kind has been answered once."""
        end = time.monotonic() + BEGIN_SECONDS
        while any(Path(f"/proc/self/fd/{told.fileno()}").stat().st_size == 0 for _, told in self._senders):
            if time.monotonic() > end:
                raise AssertionError("the load did not begin")
            time.sleep(0.05)

    @property
    def failures(self) -> list[Sample]:
        """The requests that failed."""
        return [sample for sample in self.samples if sample.failed]

    def releases_since(self, moment: float) -> Counter[str]:
        """Count the releases that answered requests sent after a moment of time.time()."""
        return Counter(sample.release for sample in self.samples if sample.release and sample.sent > moment)

    def worst_seconds(self, kind: str = "read") -> float:
        """Return the longest time that a request of a kind took."""
        return max((sample.seconds for sample in self.samples if sample.kind == kind), default=0.0)
