"""systemd's timers and services for the scheduled commands: made, changed and removed as the plan says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from windlass.server import files
from windlass.server.paths import Paths
from windlass.server.schedule import jobs
from windlass.server.schedule.jobs import Job

HEAD = "# Managed by Windlass: a change made here is lost at the next run.\n"
SPARE = 60  # seconds that the end of a job has beyond its own limit
AFTER = "network-online.target postgresql.service redis-server.service valkey-server.service"

SERVICE = """\
# Runs {job} of {app}; the timer of the same name says when.
[Unit]
Description={job} of the app {app}
Wants=network-online.target
After={after}

[Service]
Type=oneshot
ExecStart={program} cron {app} {job}
TimeoutStartSec={limit}
TimeoutStopSec=30
# The program stops the command itself, and says so; what is left is then killed.
KillMode=mixed
"""
TIMER = """\
# When {job} of {app} runs; a time that was missed while the server was off is made up for.
[Unit]
Description=when {job} of the app {app} runs

[Timer]
{calendar}
AccuracySec=1s
Persistent=true

[Install]
WantedBy=timers.target
"""


def timers(prefix: Path, apps: Iterable[str], tell: Callable[[list[str]], str] = jobs.systemctl) -> int:
    """Bring the units to what is scheduled for these apps, and remove all others; print a line for each change."""
    paths = Paths(prefix, "")
    plan = jobs.plan(paths.cron)
    wanted = {jobs.unit(app, job.name): (app, job) for app in apps for job in plan.apps.get(app, [])}
    gone = sorted(_made(paths) - set(wanted))
    changed = [unit for unit, (app, job) in wanted.items() if _write(paths, unit, app, job)]
    for unit in gone:
        tell(["disable", "--now", f"{unit}.timer"])
        for path in (paths.units / f"{unit}.service", paths.units / f"{unit}.timer", _stamp(paths, unit)):
            path.unlink(missing_ok=True)
        print(f"removed {unit}")
    if gone or changed:
        tell(["daemon-reload"])
    for unit in changed:
        _start(paths, unit, tell)
        print(f"scheduled {unit}")
    return 0


def _made(paths: Paths) -> set[str]:
    """Return the units that were made here, by the command that they run."""
    found = paths.units.glob("windlass-*.service")
    return {path.stem for path in found if f"ExecStart={paths.program} cron " in path.read_text(errors="replace")}


def _write(paths: Paths, unit: str, app: str, job: Job) -> bool:
    """Write a job's units; say whether they were others, or are not enabled."""
    values = {
        "app": app,
        "job": job.name,
        "after": AFTER,
        "program": paths.program,
        "limit": job.timeout + SPARE,
        "calendar": "\n".join(f"OnCalendar={line}" for line in job.calendar),
    }
    changed = not (paths.units / "timers.target.wants" / f"{unit}.timer").is_symlink()
    for path, text in ((paths.units / f"{unit}.service", SERVICE), (paths.units / f"{unit}.timer", TIMER)):
        new = HEAD + text.format(**values)
        if not path.exists() or path.read_text() != new:
            files.replace(path, new)
            changed = True
    return changed


def _start(paths: Paths, unit: str, tell: Callable[[list[str]], str]) -> None:
    """Start the timer from now on: a new time of day that has passed today is not one that was missed."""
    tell(["stop", f"{unit}.timer"])
    stamp = _stamp(paths, unit)
    if stamp.exists():
        stamp.touch()
    tell(["enable", "--now", f"{unit}.timer"])


def _stamp(paths: Paths, unit: str) -> Path:
    return paths.stamps / f"stamp-{unit}.timer"
