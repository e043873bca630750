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
    """Times of one thing, in seconds, and of what ran beside it, in turns with it."""

    name: str
    round_trip_ms: int
    beside: str
    times: list[float] = field(default_factory=list)
    beside_times: list[float] = field(default_factory=list)
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
        if not self.times or not self.beside_times:
            return None
        return statistics.median(self.times) / statistics.median(self.beside_times)

    def as_json(self) -> dict[str, Any]:
        """Return all of it, with what derives from it."""
        found = {**asdict(self), "unit": "s"}
        for key, times in (("median", self.times), ("beside_median", self.beside_times)):
            found[key] = round(statistics.median(times), 3) if times else None
        found["ratio"] = round(self.ratio, 2) if self.ratio else None
        return found


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
