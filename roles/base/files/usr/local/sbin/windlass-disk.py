#!/usr/bin/env python3
# Managed by Windlass: changes made here are lost.
"""Tell root by mail when a file system is nearly full, and when it has room again: one mail each, not one a minute.

    windlass-disk PERCENT       run by windlass-disk.timer

A file system is nearly full when less than PERCENT of its space or of its inodes is left; of its space never more
than 5 GB is asked for. What has been told is kept in /run, which is in memory: it can be written when every disk is
full. A mail that is not accepted is tried again at the next run. Standard library only.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

STATE = Path("/run/windlass-disk.json")
ENOUGH_BYTES = 5 * 1024**3
WELL_AGAIN = 1.2  # times the limit: it must not be told at every file that comes and goes
WITHOUT_FILES = {
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
}
WITHOUT_FILES |= {
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "ramfs",
    "securityfs",
    "squashfs",
    "sysfs",
    "tracefs",
}
ADVICE = """
What often helps, on the server, as admin:

    sudo du --one-file-system --max-depth=2 / | sort -n | tail    what takes the room
    sudo journalctl --vacuum-size=200M                            the journal
    sudo apt-get clean                                            packages that were installed
    sudo ls /srv                                                  releases: keep_releases of each app

Never remove anything in PostgreSQL's pg_wal: it is the part of the data that is not written elsewhere yet.
"""


@dataclass(frozen=True)
class Room:
    """What is left of a file system; shares are between 0 and 1."""

    mount: str
    free_bytes: int
    free_space: float
    free_inodes: float
    wanted: float

    def left(self) -> float:
        """Return what is left, in multiples of what should be."""
        space = max(self.free_space / self.wanted, self.free_bytes / ENOUGH_BYTES)
        return min(space, self.free_inodes / self.wanted)

    def __str__(self) -> str:
        return (
            f"{self.mount}: {self.free_bytes / 1024**2:.0f} MB ({self.free_space:.0%}) "
            f"and {self.free_inodes:.0%} of the inodes are free"
        )


def mounts(table: str) -> Iterator[str]:
    """Give where something that holds files and may be written is mounted, each file system once."""
    seen = set()
    for line in table.splitlines():
        _, mount, kind, options, *_ = line.split()
        mount = mount.encode().decode("unicode_escape")
        if kind in WITHOUT_FILES or "ro" in options.split(",") or not Path(mount).is_dir():
            continue
        device = Path(mount).stat().st_dev
        if device not in seen:
            seen.add(device)
            yield mount


def look(mount: str, wanted: float) -> Room | None:
    """Return the room on a file system; None where it does not count."""
    found = os.statvfs(mount)
    if not found.f_blocks:
        return None
    inodes = found.f_favail / found.f_files if found.f_files else 1.0
    # As an app sees it: the last blocks may be kept for root.
    return Room(mount, found.f_bavail * found.f_frsize, found.f_bavail / found.f_blocks, inodes, wanted)


def news(rooms: list[Room], told: set[str]) -> tuple[list[Room], list[Room]]:
    """Return the file systems that are nearly full, and those that have room again, of which nobody knows yet."""
    full = [room for room in rooms if room.left() < 1 and room.mount not in told]
    well = [room for room in rooms if room.left() > WELL_AGAIN and room.mount in told]
    return full, well


def mail(full: list[Room], well: list[Room]) -> bool:
    """Send one mail about all of them; say whether it was accepted."""
    about = ", ".join(room.mount for room in full or well)
    subject = f"{'nearly full' if full else 'room again'}: {about} on {socket.gethostname()}"
    lines = [*(f"nearly full: {room}" for room in full), *(f"has room again: {room}" for room in well)]
    print("\n".join(lines), flush=True)  # the journal has it in any case
    text = f"To: root\nSubject: {subject}\nAuto-Submitted: auto-generated\n\n" + "\n".join(lines) + "\n"
    try:
        command = ["/usr/sbin/sendmail", "-oi", "-t"]
        done = subprocess.run(command, input=text + (ADVICE if full else ""), text=True, check=False, timeout=50)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"no mail: {error}", file=sys.stderr)
        return False
    return done.returncode == 0


def main() -> int:
    """Look at every file system, and tell what is new."""
    wanted = int(sys.argv[1]) / 100
    rooms = [room for mount in mounts(Path("/proc/mounts").read_text()) if (room := look(mount, wanted))]
    told = set(json.loads(STATE.read_text())) if STATE.exists() else set()
    full, well = news(rooms, told)
    if (full or well) and not mail(full, well):
        return 1
    told = {mount for mount in told if mount in {room.mount for room in rooms}}
    told = (told | {room.mount for room in full}) - {room.mount for room in well}
    STATE.write_text(json.dumps(sorted(told)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
