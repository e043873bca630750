"""The release log: one JSON line per event of a release; the last one of each key counts."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from windlass import messages
from windlass.server import files, masking, names
from windlass.server.paths import Paths

STAMP = "%Y%m%dT%H%M%SZ"
KEPT_LINES = 2000
AHEAD = timedelta(days=1)  # that another host's clock may be


def now() -> str:
    """Return the time, UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True)
class State:
    """Which release visitors see, and in which colour."""

    release: str = ""
    colour: str = ""


@dataclass
class ReleaseLog:
    """All that is known of the releases of one app."""

    paths: Paths
    entries: dict[str, dict[str, object]] = field(default_factory=dict)
    state: State = field(default_factory=State)

    @property
    def file(self) -> Path:
        """Where the lines are."""
        return self.paths.state / "releases.jsonl"

    def read(self) -> None:
        """Read the log and the state; a line that a power cut left half-written is skipped."""
        self.entries = {}
        lines = self.file.read_text(errors="replace").splitlines() if self.file.exists() else []
        for line in lines:
            try:
                entry = json.loads(line)
                self.entries.setdefault(entry["release"], {}).update(entry)
            except (ValueError, KeyError, TypeError):
                continue
        self.state = read_state(self.paths)

    def add(self, release: str, **values: object) -> None:
        """Append what is now known of a release, durably."""
        entry = {"release": release, **values}
        if "error" in entry:
            entry["error"] = masking.hidden(entry["error"])
        self.entries.setdefault(release, {}).update(entry)
        handle = os.open(self.file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            size = os.fstat(handle).st_size
            torn = size and os.pread(handle, 1, size - 1) != b"\n"
            os.write(handle, ((b"\n" if torn else b"") + json.dumps(entry).encode() + b"\n"))
            os.fsync(handle)
        finally:
            os.close(handle)

    def compact(self) -> None:
        """Write the log anew, one line per release, when it has grown long."""
        if len(self.file.read_text(errors="replace").splitlines()) > KEPT_LINES:
            kept = {*sorted(self.entries)[-KEPT_LINES // 4 :], *self.on_disk()}
            lines = (json.dumps(self.entries[release]) + "\n" for release in sorted(kept & set(self.entries)))
            files.replace(self.file, "".join(lines), 0o640)

    def set_state(self, state: State) -> None:
        """Write which release is live, by rename."""
        self.state = state
        files.replace(self.paths.state_file, state_text(state), 0o640)

    def status(self, release: str) -> str:
        """Return live, good, bad, failed, or the status of a deploy under way."""
        if release == self.state.release:
            return "live"
        return str(self.entries.get(release, {}).get("status", "failed"))

    def on_disk(self) -> list[str]:
        """Return the releases that have a folder, newest first; the order is by name."""
        found = (path.name for path in self.paths.releases.iterdir())
        return sorted((name for name in found if names.RELEASE.fullmatch(name)), reverse=True)

    def good(self) -> list[str]:
        """Return the releases on disk that one may go back to, the live one among them, newest first."""
        return [name for name in self.on_disk() if self.status(name) in ("live", "good")]

    def new_name(self, commit: str, wanted: str = "") -> str:
        """Return a name later than any other, even when the clock went back; the one on other hosts if it is that.

        No name is taken from far in the future: all that come after it would have to be later still.
        """
        moment = datetime.now(UTC).replace(microsecond=0)
        newest = next((name for name in sorted({*self.entries, *self.on_disk()}, reverse=True) if _moment(name)), "")
        if wanted.endswith(f"-{commit[:7]}") and wanted > newest:
            if (_moment(wanted) or datetime.max.replace(tzinfo=UTC)) > moment + AHEAD:
                raise messages.release_from_the_future(wanted)
            return wanted
        if before := _moment(newest):
            moment = max(moment, before + timedelta(seconds=1))
        return f"{moment.strftime(STAMP)}-{commit[:7]}"


def _moment(release: str) -> datetime | None:
    """Return when a release was made, by its name; nothing if no clock can have said that."""
    try:
        return datetime.strptime(release.partition("-")[0], STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


def state_text(state: State) -> str:
    """Return what the file of the state holds."""
    return json.dumps({"release": state.release, "colour": state.colour}) + "\n"


def read_state(paths: Paths) -> State:
    """Return what is live: the symlinks say so; the file only says the colour after a reboot."""
    if not paths.current.is_symlink():
        return State()
    release = paths.current.readlink().name
    found = [paths.live_socket.readlink().name.removesuffix(".sock")] if paths.live_socket.is_symlink() else []
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        found.append(json.loads(paths.state_file.read_text())["colour"])
    # The app's user can make that symlink say anything, and a colour ends in Supervisor's configuration.
    return State(release, next((colour for colour in found if colour in names.COLOURS), names.COLOURS[0]))
