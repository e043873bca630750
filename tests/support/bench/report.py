"""The figures of a run: as a table to read, and as JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.bench.figures import Disk, Measurement, Row
from tests.support.repository import Repository

HEADINGS = [
    "what", "round trip", "time", "spread", "beside it", "spread", "ratio",
    "under load", "sent", "lost", "slowest read", "load average",
]  # fmt: skip


class Report:
    """What has been measured so far."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.started = datetime.now(UTC)
        self.measurements: list[Measurement] = []
        self.disk: Disk | None = None
        self.rows: list[Row] = []

    def write(self, path: Path) -> None:
        """Write all of it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self._as_json(), indent=2) + "\n")

    def _as_json(self) -> dict[str, Any]:
        return {
            "started": self.started.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "commit": Repository(self.root).git("rev-parse", "HEAD"),
            "machine": {"cores": os.cpu_count(), "kernel": platform.release(), "python": platform.python_version()},
            "measurements": [measurement.as_json() for measurement in self.measurements],
            "releases": [asdict(row) for row in self.rows],
            "disk": None if self.disk is None else {**asdict(self.disk), "unit": "bytes"},
        }

    def lines(self) -> list[str]:
        """Return the table, where the time of a release goes, and the slowest tasks."""
        if not self.measurements:
            return [*self._disk_lines(), *self._row_lines()]
        rows = [HEADINGS, *(_row(measurement) for measurement in self.measurements)]
        widths = [max(len(row[index]) for row in rows) for index in range(len(HEADINGS))]
        table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        beside = {one.name: one.beside for one in self.measurements if one.beside}
        legend = ["", "beside it, in turns: " + "; ".join(f"{name}: {what}" for name, what in beside.items())]
        legend += [
            f"{one.name}, {one.round_trip_ms} ms: it changed {one.notes['changed']} things, and should change nothing"
            for one in self.measurements
            if one.notes.get("changed")
        ]
        return [
            *table,
            *legend,
            *self._server_lines(),
            *self._processor_lines(),
            *self._phase_lines(),
            *self._task_lines(),
            *self._disk_lines(),
            *self._row_lines(),
        ]

    def _server_lines(self) -> list[str]:
        """Return what the server says of the rollbacks to a release that was kept ready."""
        return [
            f"{one.name}, {one.round_trip_ms} ms, on the server: {_both(one.notes['server_switched'])} until visitors "
            f"have the release, {_both(one.notes['server_told'])} until the result; "
            f"{_both(one.notes['server_whole'])} with sudo and the program's end"
            for one in self.measurements
            if "server_switched" in one.notes
        ]

    def _processor_lines(self) -> list[str]:
        lines = ["", "how long the server's processors were busy meanwhile:"]
        for one in self.measurements:
            if one.processor_ratio:
                times = f"{_both(one.processor)}, beside it {_both(one.beside_processor)}"
                lines.append(f"  {one.name}, {one.round_trip_ms} ms: {times}, ratio {one.processor_ratio:.2f}")
        return lines if len(lines) > 2 else []

    def _row_lines(self) -> list[str]:
        return [line for row in self.rows for line in ("", f"{row.name}: {row.rollouts} in a row", *row.lines)]

    def _phase_lines(self) -> list[str]:
        lines = ["", "where the last one's time went, in s:"]
        for one in self.measurements:
            if one.phases:
                parts = "  ".join(f"{name} {seconds:.2f}" for name, seconds in one.phases.items())
                lines.append(f"  {one.name}, {one.round_trip_ms} ms: {parts}")
        return lines if len(lines) > 2 else []

    def _task_lines(self) -> list[str]:
        lines: list[str] = []
        for one in self.measurements:
            if one.slowest_tasks:
                lines += ["", f"slowest tasks of {one.name}, {one.round_trip_ms} ms, in s:"]
                lines += [f"  {seconds:6.2f}  {name}" for name, seconds in one.slowest_tasks.items()]
        return lines

    def _disk_lines(self) -> list[str]:
        if self.disk is None:
            return []
        release, floor, alone = (size / 1e6 for size in (self.disk.release, self.disk.floor, self.disk.release_alone))
        ratio = self.disk.release / self.disk.floor
        return [
            "",
            f"disk of one more release that installs nothing new, hard links counted once: {release:.2f} MB "
            f"(the shell script's {floor:.2f} MB, ratio {ratio:.2f}; a release by itself {alone:.1f} MB)",
        ]


def _row(one: Measurement) -> list[str]:
    cells = [one.name, f"{one.round_trip_ms} ms", *_times(one.times), *_times(one.beside_times)]
    cells.append(f"{one.ratio:.2f}" if one.ratio else "-")
    if one.visits is None:
        cells += ["-"] * 4
    else:
        visits = one.visits
        cells += [f"{visits.seconds:.2f} s", str(visits.sent), str(visits.lost), f"{visits.worst_seconds:.2f} s"]
    return [*cells, f"{statistics.mean(one.load_average):.1f}" if one.load_average else "-"]


def _times(times: list[float]) -> list[str]:
    """Return the median and the spread."""
    if not times:
        return ["-", "-"]
    spread = f"{min(times):.2f}-{max(times):.2f}" if len(times) > 1 else "once"
    return [f"{statistics.median(times):.2f} s", spread]


def _both(times: list[float]) -> str:
    median, spread = _times(times)
    return f"{median} ({spread})"
