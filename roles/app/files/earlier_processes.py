"""Wait until no process of an app is left that was started before its settings last changed; print those that stay.

    earlier_processes.py SECONDS APP...

A process keeps the settings of its start: the web that a release just left, a worker with a job in hand, a scheduled
command. Their ages are compared, since a program may overwrite its environment and its name.
"""

from __future__ import annotations

import json
import os
import pwd
import sys
import time
from pathlib import Path

CONFIGURATION = Path("/etc/windlass")


def earlier(app: str) -> list[str]:
    """Return the processes of an app's users that are older than its settings."""
    changed = (CONFIGURATION / f"{app}.env").stat().st_mtime
    users = {entry.pw_uid: entry.pw_name for entry in pwd.getpwall() if entry.pw_name in (app, f"{app}-owner")}
    found: list[str] = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            uid = directory.stat().st_uid
            if uid in users and started(directory) < changed:
                command = (directory / "comm").read_text().strip()
                found.append(f"{command} of {app} (process {directory.name})")
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            continue
    return found


def started(directory: Path) -> float:
    """Return when a process was started, in seconds since 1970."""
    fields = (directory / "stat").read_text().rpartition(")")[2].split()
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    return time.time() - age


def main(seconds: float, apps: list[str]) -> list[str]:
    """Wait, at most so long, and return what is left."""
    end = time.monotonic() + seconds
    while True:
        left = [process for app in apps for process in earlier(app)]
        if not left or time.monotonic() > end:
            return left
        time.sleep(1)


if __name__ == "__main__":
    print(json.dumps(main(float(sys.argv[1]), sys.argv[2:])))
