"""After a deploy: the new release is watched for a while, and the old one, kept ready, takes over if it fails."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from windlass import messages
from windlass.server import files, lock
from windlass.server.errors import Failure
from windlass.server.job import Job
from windlass.server.lock import Lock
from windlass.server.log import State, now
from windlass.server.paths import Paths
from windlass.server.protocol import no_hooks
from windlass.server.rollout.signs import Over, Signs
from windlass.server.rollout.standby import Standby

POLL = 0.25
Back = Callable[[Job, str], None]


@dataclass(frozen=True)
class Record:
    """A watch as others see it; `until` is in seconds since the epoch."""

    release: str
    old: str
    old_colour: str
    until: float
    pid: int

    @property
    def alive(self) -> bool:
        """Say whether somebody watches still."""
        return Path(f"/proc/{self.pid}").exists()


def read(paths: Paths) -> Record | None:
    """Return the watch there is."""
    try:
        return Record(**json.loads(paths.watch.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def supersede(paths: Paths) -> Record | None:
    """End the watch there is, as the holder of the lock: its watcher finds its record gone. Return the record."""
    found = read(paths)
    paths.watch.unlink(missing_ok=True)
    return found


class Watcher:
    """The watch of one release, by the process that made it live."""

    def __init__(self, job: Job, signs: Signs, back: Back) -> None:
        self.job = job
        self.paths = job.context.paths
        self.signs = signs
        self.back = back
        self.record: Record | None = None

    def begin(self, live: State, old: State, pid: int) -> None:
        """Write the watch down, while the lock is still held; `pid` is the live web process that was probed."""
        until = time.time() + self.job.context.settings.watch_seconds
        self.record = Record(live.release, old.release, old.colour, until, os.getpid())
        files.replace(self.paths.watch, json.dumps(asdict(self.record)) + "\n", 0o640)
        self.signs.begin(pid)

    def run(self) -> None:
        """Watch to the end; a `Failure` says that the release failed and what became of it."""
        if self.record is None:
            return
        reason = self._look()
        held = self._lock()
        if held is None:
            return
        try:
            self.job.lock = held
            self.job.log.read()
            if reason:
                self._switch_back(reason)
            else:
                self._end()
        finally:
            held.release()

    def _look(self) -> str:
        """Look until the watch is over; return what is wrong with the release. Stand by for a rollback meanwhile."""
        from windlass.server.main import status_of

        assert self.record  # noqa: S101
        reason = ""
        standby = Standby(self.paths.standby, lambda line: status_of(self.paths.prefix, line))
        try:
            while self._is_ours() and not reason and time.time() < self.record.until:
                standby.wait(POLL)
                reason = self.signs.look()
        except Over:
            pass
        finally:
            standby.close()
        return reason

    def _is_ours(self) -> bool:
        return read(self.paths) == self.record

    def _lock(self) -> Lock | None:
        """Take the lock as soon as it is free; nothing when somebody else has taken the matter in hand by then."""
        note: dict[str, object] = {"action": "watch", "by": "Windlass", "since": now(), "phase": "watch"}
        try:
            held = lock.take(self.paths.lock, note, lambda _held: self._is_ours())
        except Failure:
            return None
        if self._is_ours():
            return held
        held.release()
        return None

    def _end(self) -> None:
        assert self.record  # noqa: S101
        self.signs.colours.stop(self.record.old_colour)
        self.paths.watch.unlink(missing_ok=True)
        self.job.log.add(self.record.release, watched="ok")

    def _switch_back(self, reason: str) -> None:
        """Put the old release in front again; the new one is bad from then on."""
        assert self.record  # noqa: S101
        release, old = self.record.release, self.record.old
        self.job.events.around = no_hooks  # they are about releases, and one that fails must not stand in the way
        try:
            self.back(self.job, old)
        except Failure as failure:
            self.job.log.add(release, watched="failed", error=f"{reason}; not switched back: {failure.message}"[:500])
            self._tell(messages.notice_not_switched_back(self.job.context.settings.name, release, old), reason)
            self._give_up_old()
            raise messages.not_switched_back(release, reason, old, failure.message) from failure
        self.job.log.add(release, status="bad", watched="switched-back", error=reason[:500], finished=now())
        self._tell(messages.notice_switched_back(self.job.context.settings.name, release, old), reason)
        raise messages.switched_back(release, reason, old)

    def _give_up_old(self) -> None:
        """Leave the live release alone, without one that is ready and not well."""
        assert self.record  # noqa: S101
        supersede(self.paths)
        if self.job.log.state.colour != self.record.old_colour:
            with contextlib.suppress(Failure):
                self.signs.colours.stop(self.record.old_colour)

    def _tell(self, headline: str, reason: str) -> None:
        """Send a notice: whoever deployed may have gone long ago."""
        if self.paths.notify.exists():
            from windlass.server import notices

            details = {
                "reason": reason,
                "by": self.job.request.by,
                "what to do": "see fab logs, mend it and deploy again",
            }
            notices.send(self.job.context, headline, details)
