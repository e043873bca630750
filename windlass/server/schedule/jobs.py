"""The scheduled commands of an app: what the `app` role wrote of them, and how each last ended."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from windlass.server import files
from windlass.server.paths import Paths

Run = Callable[[list[str]], str]


@dataclass(frozen=True)
class Job:
    """One command; `calendar` are systemd's OnCalendar lines, `timeout` is seconds."""

    name: str
    calendar: tuple[str, ...]
    command: str
    timeout: int


@dataclass(frozen=True)
class Plan:
    """The commands by app, and to whom and through which mail server a failure is told."""

    mail: list[str]
    smtp: list[object]
    apps: dict[str, list[Job]]

    def job(self, app: str, name: str) -> Job | None:
        """Return the job of that name."""
        return next((job for job in self.apps.get(app, []) if job.name == name), None)


def plan(path: Path) -> Plan:
    """Read what is scheduled on this server; nothing where there is no such file."""
    data: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    apps = {
        app: [Job(job["name"], tuple(job["calendar"]), job["command"], job["timeout"]) for job in jobs]
        for app, jobs in (data.get("apps") or {}).items()
    }
    return Plan(data.get("mail") or [], data.get("smtp") or ["127.0.0.1", 25], apps)


def unit(app: str, job: str) -> str:
    """Return the name of the job's timer and service in systemd, without its ending."""
    return f"windlass-{app}-{job}"


def take(paths: Paths, job: str) -> int | None:
    """Lock the job for as long as the handle, or a process that inherited it, lives; None when it runs already."""
    handle = os.open(paths.cron_record(job).with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return handle


def record(paths: Paths, job: str) -> dict[str, Any]:
    """Return how the job last ended."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(paths.cron_record(job).read_text())
        if isinstance(found, dict):
            return found
    return {}


def write_record(paths: Paths, job: str, values: dict[str, Any]) -> None:
    """Note how the job ended; a full disk is no reason not to tell it."""
    with contextlib.suppress(OSError):
        files.replace(paths.cron_record(job), json.dumps(values) + "\n", 0o640)


def systemctl(arguments: list[str]) -> str:
    """Return what systemctl prints, nothing where it is missing or fails."""
    try:
        found = subprocess.run(["systemctl", *arguments], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout


def status(paths: Paths, ask: Run = systemctl) -> list[dict[str, object]]:
    """Return of each job when it is due next, when it last began and how that ended."""
    jobs = plan(paths.cron).apps.get(paths.app, [])
    due = _due([f"{unit(paths.app, job.name)}.timer" for job in jobs], ask)
    rows: list[dict[str, object]] = []
    for job in jobs:
        last = record(paths, job.name)
        row = {
            "name": job.name,
            "next": due.get(f"{unit(paths.app, job.name)}.timer"),
            "last": last.get("started"),
            "result": "running" if _runs(paths, job.name) else last.get("result"),
            "seconds": last.get("seconds"),
            "release": last.get("release"),
        }
        rows.append(row)
    return rows


def _runs(paths: Paths, job: str) -> bool:
    path = paths.cron_record(job).with_suffix(".lock")
    if not path.exists():
        return False
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _due(timers: list[str], ask: Run) -> dict[str, str]:
    """Return by timer when it is due, UTC; one whose command runs is not due."""
    if not timers:
        return {}
    found: dict[str, str] = {}
    with contextlib.suppress(ValueError, KeyError, TypeError):
        for row in json.loads(ask(["list-timers", "--all", "--output=json", *timers])):
            if row["next"]:
                moment = datetime.fromtimestamp(row["next"] // 1_000_000, UTC)
                found[row["unit"]] = moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return found
