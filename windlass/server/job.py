"""What every step of one piece of work needs, and the steps around a roll-out: sweep, record, prune."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from windlass import messages
from windlass.server import files
from windlass.server.building import trial
from windlass.server.environment import Context
from windlass.server.lock import Lock
from windlass.server.log import ReleaseLog, now
from windlass.server.paths import Paths
from windlass.server.processes import carriers, strays
from windlass.server.processes.supervisor import Supervisor
from windlass.server.protocol import Events, Request
from windlass.server.rollout import links, maintenance, recovery


def nothing() -> None:
    """Do nothing."""


@dataclass
class Job:
    """One deploy, rollback or restart, by the holder of the lock.

    When the result has been told, `end` is done before the lock is given back, and `watch` after it.
    """

    context: Context
    request: Request
    log: ReleaseLog
    lock: Lock
    events: Events
    supervisor: Supervisor
    failed_hooks: list[str] = field(default_factory=list)
    end: Callable[[], None] = nothing
    watch: Callable[[], None] = nothing
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """How long the work has taken so far."""
        return round(time.monotonic() - self.started, 3)


def tell_unsent(paths: Paths, out: Events) -> None:
    """Say once that the last notice did not go out: there was nobody to tell then."""
    if paths.unsent.exists():
        out.note(messages.note_notice_failed(paths.unsent.read_text().strip()))
        paths.unsent.unlink()


def sweep(context: Context, log: ReleaseLog, supervisor: Supervisor) -> None:
    """Clear up after work that was cut off: its command, half a switch, half-made releases, archives."""
    strays.end_commands(log.paths.home, "release")
    recovery.recover(context, log, supervisor)
    live = log.state.release
    if live and maintenance.is_moment(log.paths):  # the workers were stopped for it
        recovery.bring_up(context, log.state, supervisor, set())
    maintenance.reopen(log.paths)
    if live and log.entries.get(live, {}).get("status") != "good":
        log.add(live, status="good", finished=now())
    incoming = log.paths.state / "incoming"
    for path in incoming.iterdir():
        files.remove(path)
    trial.sweep(log.paths)
    for release in [name for name, entry in log.entries.items() if entry.get("status") == "building"]:
        log.add(release, status="failed", error="interrupted", finished=now())
    unknown = [path for path in log.paths.releases.iterdir() if log.status(path.name) not in ("live", "good", "bad")]
    carried = carriers.carried(log.paths) if unknown else set()
    for path in unknown:
        if path.name not in carried:
            files.remove(path)


def prune(log: ReleaseLog, keep: int) -> list[Path]:
    """Give up old releases; never the live one, the one before it, the last good one, or one that a process carries.

    Return their folders, by names that no release has: to empty them takes a while, and a sweep does it otherwise.
    """
    good = log.good()
    kept = {log.state.release, links.remembered(log.paths), *log.on_disk()[: max(keep, 1)]}
    kept.update([name for name in good if name != log.state.release][:1])
    gone = [name for name in log.on_disk() if name not in kept]
    carried = carriers.carried(log.paths) if gone else set()
    left = [log.paths.releases / name for name in gone if name not in carried]
    log.compact()
    return [path.rename(path.with_name(f".{path.name}.gone")) for path in left]
