"""The figures that a measurement gives."""

from __future__ import annotations

import os
import statistics
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class Visits:
    """What visitors met while something was done once more, under constant load."""

    seconds: float
    sent: int
    lost: int
    worst_seconds: float
    first_error: str


@dataclass
class Measurement:
    """Times of one thing, in seconds, and of what ran beside it, in turns with it.

    `processor` is what the server's processors had to do for it: that varies little with what else this machine does.
    """

    name: str
    round_trip_ms: int
    beside: str
    times: list[float] = field(default_factory=list)
    beside_times: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    beside_processor: list[float] = field(default_factory=list)
    load_average: list[float] = field(default_factory=list)
    visits: Visits | None = None
    phases: dict[str, float] = field(default_factory=dict)
    slowest_tasks: dict[str, float] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    def note_load(self) -> None:
        """Write down how busy this machine is with other things."""
        self.load_average.append(round(os.getloadavg()[0], 2))

    @property
    def ratio(self) -> float | None:
        """How many times as long as what ran beside it, by the medians."""
        return _ratio(self.times, self.beside_times)

    @property
    def processor_ratio(self) -> float | None:
        """The same, of the time that the server's processors were busy."""
        return _ratio(self.processor, self.beside_processor)

    def as_json(self) -> dict[str, Any]:
        """Return all of it, with what derives from it."""
        found = {**asdict(self), "unit": "s"}
        for key, times in (("median", self.times), ("beside_median", self.beside_times)):
            found[key] = round(statistics.median(times), 3) if times else None
        found["processor_ratio"] = round(self.processor_ratio, 2) if self.processor_ratio else None
        found["ratio"] = round(self.ratio, 2) if self.ratio else None
        return found


def _ratio(times: list[float], beside: list[float]) -> float | None:
    return statistics.median(times) / statistics.median(beside) if times and beside else None


@dataclass
class Disk:
    """What one more release takes that installs nothing new, in bytes, hard links counted once."""

    release: int
    floor: int
    release_alone: int


@dataclass
class Row:
    """Deploys and rollbacks in a row under hard load: what to read, and what to count."""

    name: str
    lines: list[str]
    rollouts: int
    sent: int
    failed: int
    wrong: int
    worst_seconds: float
