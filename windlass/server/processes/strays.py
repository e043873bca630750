"""What an earlier Supervisor, killed, left behind of a process: nobody watches it any more, so it is ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

POLL = 0.05


def end(values: dict[str, str], number: int) -> None:
    """Send the signal to the strays of the process with this environment, and wait for none."""
    for pid in _same(values):
        _send(pid, number)


def end_commands(home: Path, process: str) -> None:
    """Kill what a release program that was itself killed left of a command; to be called with the app's lock held."""
    wanted = {f"WINDLASS_HOME={home}".encode(), f"WINDLASS_PROCESS={process}".encode()}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if wanted <= set((entry / "environ").read_bytes().split(b"\0")):
                    _send(int(entry.name), signal.SIGKILL)


def hold(lock: Path, values: dict[str, str], number: int, grace: float) -> None:
    """Wait until no other process of the name is left, and take the lock that says that there is one.

    The lock stays with the process and ends with it. A program may hide its environment by setting a title; who
    has the lock open is seen all the same. What has not ended `grace` seconds after the signal is killed.
    """
    handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    supervisor, begin = os.getppid(), time.monotonic()
    asked: set[int] = set()
    while not _locked(handle) or set(_same(values)):
        if os.getppid() != supervisor:
            raise SystemExit(1)  # Supervisor is gone: this one is a stray itself
        for pid in {*_same(values), *_holders(lock)}:
            if pid not in asked:
                print(f"windlass: waits for an earlier {values['WINDLASS_PROCESS']} (pid {pid}) to end", flush=True)
            if pid not in asked or time.monotonic() - begin > grace:
                _send(pid, number if pid not in asked else signal.SIGKILL)
            asked.add(pid)
        time.sleep(POLL)
    os.set_inheritable(handle, True)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _send(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _same(values: dict[str, str]) -> Iterator[int]:
    """Give the strays that carry the environment of the process."""
    keys = ("WINDLASS_HOME", "WINDLASS_PROCESS", "WINDLASS_COLOUR")
    wanted = {f"{key}={values[key]}".encode() for key in keys if key in values}
    return _strays(lambda entry: wanted <= set((entry / "environ").read_bytes().split(b"\0")))


def _holders(lock: Path) -> Iterator[int]:
    """Give the strays that have the lock open."""
    return _strays(lambda entry: any(_leads_to(handle, lock) for handle in (entry / "fd").iterdir()))


def _leads_to(handle: Path, lock: Path) -> bool:
    with contextlib.suppress(OSError):
        return handle.readlink() == lock
    return False


def _strays(are: Callable[[Path], bool]) -> Iterator[int]:
    """Give those of this user's processes that do not descend from our Supervisor."""
    supervisor = os.getppid()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if entry.stat().st_uid != os.geteuid() or not are(entry):
                    continue
                if supervisor not in ancestors(int(entry.name)):
                    yield int(entry.name)


def ancestors(pid: int) -> list[int]:
    """Return the processes that `pid` descends from, nearest first."""
    line: list[int] = []
    while pid > 0:
        stat = Path(f"/proc/{pid}/stat").read_text()
        pid = int(stat.rpartition(")")[2].split()[1])
        line.append(pid)
    return line
