"""Constant load on a guestbook, of the kinds that a switch of releases can hurt.

Kept connections and new ones, reads and writes, and requests that are under way for half a second.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from tests.support.visitor import Visitor

MAXIMUM_SECONDS = 180


@dataclass(frozen=True)
class Sample:
    """One request: when it began, how long it took (seconds), and what came of it."""

    kind: str
    began: float
    seconds: float
    status: int
    version: str
    error: str

    @property
    def failed(self) -> bool:
        """Whether a visitor would have noticed."""
        return bool(self.error) or self.status >= 400


@dataclass
class Load:
    """Requests from several threads, from `with` until its end, and never longer than three minutes.

    `pause` is what each thread waits between two requests, in seconds.
    """

    visitor: Visitor
    readers: int = 4
    writers: int = 1
    slow: int = 2
    pause: float = 0.02
    samples: list[Sample] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Load:
        kinds: list[tuple[str, Callable[[http.client.HTTPSConnection | None], Sample], bool]] = []
        for number in range(self.readers):
            kinds.append(("read", self._read, number % 2 == 0))
        kinds += [("write", self._write, True)] * self.writers
        kinds += [("slow", self._slow, True)] * self.slow
        for name, request, kept in kinds:
            thread = threading.Thread(target=self._repeat, args=(name, request, kept), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=30)

    @property
    def failures(self) -> list[Sample]:
        """The requests that failed."""
        return [sample for sample in self.samples if sample.failed]

    def versions_since(self, moment: float) -> Counter[str]:
        """Count the versions that answered requests begun after a moment of time.monotonic()."""
        return Counter(sample.version for sample in self.samples if sample.version and sample.began > moment)

    def worst_seconds(self) -> float:
        """Return the longest time that a read took."""
        return max((sample.seconds for sample in self.samples if sample.kind == "read"), default=0.0)

    def _repeat(self, name: str, request: Callable[[http.client.HTTPSConnection | None], Sample], kept: bool) -> None:
        end = time.monotonic() + MAXIMUM_SECONDS
        connection = self.visitor.connect() if kept else None
        while not self._stop.is_set() and time.monotonic() < end:
            began = time.monotonic()
            try:
                sample = request(connection)
            except (OSError, http.client.HTTPException) as error:
                sample = Sample(name, began, time.monotonic() - began, 0, "", repr(error))
                connection = self.visitor.connect() if kept else None
            self.samples.append(sample)
            self._stop.wait(self.pause)
        if connection is not None:
            connection.close()

    def _read(self, connection: http.client.HTTPSConnection | None) -> Sample:
        began = time.monotonic()
        answer = self.visitor.ask("/version", connection=connection)
        version = answer.json["version"] if answer.status == 200 else ""
        return Sample("read", began, time.monotonic() - began, answer.status, version, "")

    def _write(self, connection: http.client.HTTPSConnection | None) -> Sample:
        began = time.monotonic()
        message = {"author": "load", "text": "written under load"}
        answer = self.visitor.ask("/api/messages", method="POST", data=message, connection=connection)
        return Sample("write", began, time.monotonic() - began, answer.status, "", "")

    def _slow(self, connection: http.client.HTTPSConnection | None) -> Sample:
        began = time.monotonic()
        answer = self.visitor.ask("/slow?seconds=0.5", method="POST", data={}, connection=connection)
        return Sample("slow", began, time.monotonic() - began, answer.status, "", "")
