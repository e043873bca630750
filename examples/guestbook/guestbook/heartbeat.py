"""Tell the database that this process lives, what it runs and how much it does."""

import os
import socket
import threading
import time
from collections import deque
from datetime import timedelta

from flask import current_app
from sqlalchemy import delete
from sqlalchemy.orm import Session

from .extensions import db
from .models import Process, utcnow

INTERVAL = 2  # seconds between two heartbeats
ALIVE = timedelta(seconds=30)  # a process not seen for longer is not counted
FORGET = timedelta(days=1)


class Meter:
    """Counts what one process handled, and how much of it in the last 60 s."""

    def __init__(self) -> None:
        self.total = 0
        self._seconds: deque[list[int]] = deque(maxlen=60)  # [second, how many], oldest first
        self._next_beat = 0.0
        self._lock = threading.Lock()

    def count(self) -> None:
        """Count one more."""
        now = int(time.monotonic())
        with self._lock:
            self.total += 1
            if not self._seconds or self._seconds[-1][0] != now:
                self._seconds.append([now, 0])
            self._seconds[-1][1] += 1

    def per_minute(self) -> int:
        """Return how many were counted in the last 60 s."""
        oldest = int(time.monotonic()) - 60
        with self._lock:
            return sum(number for second, number in self._seconds if second > oldest)

    def beat(self, kind: str, *, now: bool = False) -> None:
        """Write the heartbeat if it is due, or `now`; a database that is away is only logged."""
        with self._lock:
            if time.monotonic() < self._next_beat and not now:
                return
            self._next_beat = time.monotonic() + INTERVAL
        process = Process(
            id=f"{kind}:{os.getpid()}@{socket.gethostname()}",
            kind=kind,
            release=current_app.config["RELEASE"],
            last_seen=utcnow(),
            handled=self.total,
            per_minute=self.per_minute(),
        )
        try:
            with Session(db.engine) as session, session.begin():
                session.merge(process)
        except Exception as error:
            current_app.logger.warning("no heartbeat: %s", getattr(error, "orig", error))


def forget_dead() -> None:
    """Delete the rows of processes that were not seen for a day."""
    db.session.execute(delete(Process).where(Process.last_seen < utcnow() - FORGET))
    db.session.commit()
