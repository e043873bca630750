"""Who listens on a unix socket, and who waits there."""

from __future__ import annotations

import re
import socket
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from windlass.server.processes.strays import ancestors

POLL = 0.02
QUIET = 3
PATIENCE = 5.0
PEER = struct.Struct("3i")  # process, user, group


@dataclass(frozen=True)
class Listener:
    """A listening socket: connections that wait to be accepted, and the processes that hold it."""

    queue: int
    pids: tuple[int, ...]


def _ss(*options: str) -> list[str]:
    found = subprocess.run(["ss", "-H", "-x", *options], capture_output=True, text=True, check=False)
    return found.stdout.splitlines()


def listeners(path: Path, *, pids: bool = False) -> list[Listener]:
    """Return the sockets that listen at this path."""
    found = []
    for line in _ss("-l", *(["-p"] if pids else [])):
        fields = line.split()
        if len(fields) > 4 and fields[1] == "LISTEN" and fields[4] == str(path):
            found.append(Listener(int(fields[2]), tuple(int(pid) for pid in re.findall(r"pid=(\d+)", line))))
    return found


def queue(path: Path) -> int:
    """Return how many connections wait to be accepted."""
    return sum(listener.queue for listener in listeners(path))


def connections(path: Path) -> int:
    """Return how many accepted connections are open."""
    lines = (line.split() for line in _ss("state", "established"))
    return sum(str(path) in fields for fields in lines)


def owner(path: Path) -> int:
    """Return the process that began to listen at this path; 0 when nobody listens there."""
    with socket.socket(socket.AF_UNIX) as asked:
        asked.settimeout(PATIENCE)
        try:
            asked.connect(str(path))
            pid: int = PEER.unpack(asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, PEER.size))[0]
        except OSError:
            return 0
    return pid


def drain(path: Path, limit: float, *, connections_too: bool) -> bool:
    """Wait until nobody waits at the socket; say whether that came true within `limit` seconds."""
    end = time.monotonic() + limit
    quiet = 0
    while True:
        busy = queue(path) or (connections_too and connections(path))
        quiet = 0 if busy else quiet + 1
        if quiet == QUIET:
            return True
        if time.monotonic() > end:
            return False
        time.sleep(POLL)


def release_of(pid: int) -> str:
    """Return the release that a process carries, or nothing when it hides its environment."""
    try:
        environ = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return ""
    match = re.search(rb"(?:^|\0)WINDLASS_RELEASE=([^\0]+)", environ)
    return match[1].decode(errors="replace") if match else _folder_of(pid)


def _folder_of(pid: int) -> str:
    """Return the release that a process works in: setting a title overwrites the environment."""
    try:
        parts = Path(f"/proc/{pid}/cwd").readlink().parts
    except OSError:
        return ""
    return parts[parts.index("releases") + 1] if "releases" in parts[:-1] else ""


def strangers(path: Path, release: str, supervised: int) -> list[int]:
    """Return the processes behind the socket that are not of the release."""
    wrong = []
    for listener in listeners(path, pids=True):
        for pid in listener.pids:
            carried = release_of(pid)
            if carried != release and (carried or not _descends(pid, supervised)):
                wrong.append(pid)
    return wrong


def _descends(pid: int, supervised: int) -> bool:
    try:
        return pid == supervised or supervised in ancestors(pid)
    except OSError:
        return True
