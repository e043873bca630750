"""A migration that waits for a lock: who holds it."""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from windlass.server.database.postgresql import SUPERUSER, Database, as_superuser
from windlass.server.errors import Failure

EVERY = 0.8
# Who blocks, and is not blocked itself: the app's own queries queue behind the migration.
# A login that becomes the owner as it enters sees its own sessions as itself.
HOLDERS = """
SET ROLE NONE;
SELECT DISTINCT ON (holder.pid) holder.pid, holder.usename, coalesce(nullif(holder.application_name, ''), '-'),
       extract(epoch FROM clock_timestamp() - coalesce(holder.xact_start, holder.backend_start))::int,
       holder.state, regexp_replace(left(holder.query, 200), E'\\\\s+', ' ', 'g')
  FROM pg_stat_activity waiter
 CROSS JOIN LATERAL unnest(pg_blocking_pids(waiter.pid)) AS blocking(pid)
  JOIN pg_stat_activity holder ON holder.pid = blocking.pid
 WHERE waiter.datname = :'live' AND waiter.wait_event_type = 'Lock'
   AND holder.wait_event_type IS DISTINCT FROM 'Lock'
 ORDER BY holder.pid;
"""
VALUES = re.compile(r"'(?:[^']|'')*'?|\b\d+\b")


class Holders:
    """Who keeps a command waiting, looked for in a thread of its own while it runs."""

    def __init__(self, database: Database | None) -> None:
        self.database = _who_sees(database) if database else None
        self.live = database.name if database else ""
        self.last = ""

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look again and again, but not in the first moment: most commands wait for nobody."""
        done = threading.Event()
        thread = threading.Thread(target=self._look, args=(done,), daemon=True)
        if self.database is not None:
            thread.start()
        try:
            yield
        finally:
            done.set()
            if self.database is not None:
                thread.join(timeout=EVERY)

    def _look(self, done: threading.Event) -> None:
        while self.database is not None and not done.wait(EVERY):
            with contextlib.suppress(Failure, OSError):
                rows = self.database.sql(HOLDERS, live=self.live)
                self.last = described(rows[0]) if rows else self.last

    @property
    def pid(self) -> str:
        """The process of the database that was seen last."""
        return self.last.split()[1].rstrip(",") if self.last else ""


def _who_sees(database: Database) -> Database:
    """Return the superuser, who sees all sessions from its own database, where it is here; else whom it was given."""
    asked = as_superuser(database)
    return asked.other(SUPERUSER) if asked.superuser else asked


def described(row: list[str]) -> str:
    """Return one session as a part of a sentence; the values in its query are nobody's business."""
    pid, user, program, seconds, state, query = [*row, "", "", "", "", "", ""][:6]
    doing = "idle in a transaction since" if state.startswith("idle") else "running"
    shown = VALUES.sub("?", query).strip()[:80]
    return f"pid {pid}, user {user}, program {program}, for {seconds} s, {doing}: {shown}"
