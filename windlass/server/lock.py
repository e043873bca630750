"""One deploy at a time: a `flock`, which cannot outlive its holder, with a note of who holds it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from windlass.server.errors import Failure

ATTEMPTS = 10
POLL = 0.01


@dataclass
class Lock:
    """The lock as its holder has it."""

    handle: int
    note: dict[str, object]

    def tell(self, **values: object) -> None:
        """Change what others are told about the holder."""
        self.note |= values
        text = json.dumps(self.note).encode()
        with contextlib.suppress(OSError):  # on a full disk the lock holds, and the check says what is wrong
            os.pwrite(self.handle, text, 0)
            os.ftruncate(self.handle, len(text))

    def close(self) -> None:
        """Let go in this process; a forked one may hold it still."""
        os.close(self.handle)

    def release(self) -> None:
        """Give the lock back."""
        os.ftruncate(self.handle, 0)
        self.close()


def take(path: Path, note: dict[str, object]) -> Lock:
    """Take the lock, or raise `Failure` with who has it, since when and for which version."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not _locked(handle):
        os.close(handle)
        held = _note(path)
        raise Failure(
            "locked",
            f"{held.get('by', 'somebody')} has the lock since {held.get('since', 'a moment ago')}: "
            f"{held.get('action', 'deploy')} of {held.get('version') or 'an earlier release'}, "
            f"phase {held.get('phase', 'check')}",
            "wait until it is done and try again",
            lock=held,
        )
    lock = Lock(handle, {})
    lock.tell(**note)
    return lock


def _locked(handle: int) -> bool:
    """Lock the file; `holder` has it for a moment whenever somebody asks for the status."""
    for _ in range(ATTEMPTS):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(POLL)
    return False


def holder(path: Path) -> dict[str, object] | None:
    """Return what the holder says of itself, or None when nobody holds the lock."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _note(path)
    finally:
        os.close(handle)
    return None


def _note(path: Path) -> dict[str, object]:
    with contextlib.suppress(OSError, ValueError):
        note = json.loads(path.read_text())
        if isinstance(note, dict):
            return note
    return {}
