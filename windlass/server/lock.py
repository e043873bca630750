"""One deploy at a time: a `flock`, which cannot outlive its holder, with a note of who holds it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from windlass import messages
from windlass.server.protocol import Events

ATTEMPTS = 10
POLL = 0.01
NAMELESS = 20
NOTE_EVERY = 30.0
QUIET = 2.0
CLEARING_UP = "clearing up"
Held = dict[str, object]


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


def refuse(_held: Held) -> bool:
    """Do not wait for anybody."""
    return False


def take(path: Path, note: dict[str, object], waits: Callable[[Held], bool] = refuse) -> Lock:
    """Take the lock, or raise `Failure` with who has it, since when and for which version.

    `waits` is asked again and again while somebody has it, and says whether to go on waiting. A holder without a note
    has just come or just gone, and is not asked about for a while.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    nameless = 0
    try:
        while not _locked(handle):
            held = _note(path)
            nameless = 0 if held else nameless + 1
            if (held or nameless > NAMELESS) and not waits(held):
                raise messages.locked(held)
    except BaseException:
        os.close(handle)
        raise
    lock = Lock(handle, {})
    lock.tell(**note)
    return lock


def ends_at_once(held: Held) -> bool:
    """Whether whoever has the lock has told its result, or ends a watch, or clears up: nobody is refused for that."""
    return held.get("action") in ("watch", CLEARING_UP) or bool(held.get("told"))


class Waiting:
    """Wait for the lock as long as the client does, and say for whom, every 30 s.

    Without `wait` only one that `ends_at_once` is waited for: nobody is at work then.
    """

    def __init__(self, out: Events, *, wait: bool) -> None:
        self.out = out
        self.wait = wait
        # What ends at once is worth no word as long as it does.
        self.next_note = 0.0 if wait else time.monotonic() + QUIET
        self.listener = select.poll()
        self.listener.register(out.handle, 0)

    def __call__(self, held: Held) -> bool:
        """Say whether to go on waiting; `BrokenPipeError` when the client has gone."""
        if not self.wait and not ends_at_once(held):
            return False
        if self.listener.poll(0):
            raise BrokenPipeError
        if time.monotonic() >= self.next_note:
            self.next_note = time.monotonic() + NOTE_EVERY
            self.out.note(messages.note_waiting(held))
        return True


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
