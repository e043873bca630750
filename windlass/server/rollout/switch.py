"""The switch: an intent is written, `current` decides, all other files follow; or everything is as it was."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from windlass.server import files
from windlass.server.environment import Context
from windlass.server.errors import Failure
from windlass.server.log import ReleaseLog, State, state_text
from windlass.server.processes import programs
from windlass.server.processes.colours import Colours
from windlass.server.processes.supervisor import Supervisor
from windlass.server.processes.workers import Workers
from windlass.server.rollout import links


@dataclass(frozen=True)
class Intent:
    """From where to where, and what is to be true once it is done.

    `groups` are the programs beside `web` that ran before; `bad` says that the release that is left is bad.
    """

    old: State
    new: State
    groups: list[str] = field(default_factory=list)
    bad: bool = False

    def write(self, path: Path) -> None:
        """Write it down, durably."""
        files.replace(path, json.dumps(asdict(self)) + "\n", 0o640)


def read_intent(path: Path) -> Intent | None:
    """Return the switch that was begun and not completed."""
    try:
        data = json.loads(path.read_text())
        return Intent(State(**data["old"]), State(**data["new"]), list(data["groups"]), bool(data["bad"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def texts(context: Context, live: State, idle: State) -> dict[Path, str]:
    """Return all files that say what runs after a reboot, with `live` live and `idle` merely kept."""
    supervisor = Supervisor(context.paths.supervisor_socket)
    colours, workers = Colours(context, supervisor), Workers(context, supervisor, lambda _text: None)
    wanted = [colours.program(live, autostart=True), *workers.of(live.release)]
    if idle.release:
        with contextlib.suppress(Failure):  # it may have been started with an entry that said more
            wanted.append(colours.program(idle, autostart=False))
    found = {programs.place(context, program): programs.text(context, program) for program in wanted}
    return found | {context.paths.state_file: state_text(live)}


def commit(context: Context, staged: dict[Path, Path]) -> None:
    """Put staged files in place and remove those of programs that are no more."""
    files.put_in_place(staged)
    kept = set(staged.values())
    for name in programs.written(context):
        path = programs.file_of(context, name)
        if path not in kept:
            path.unlink(missing_ok=True)


class Switch:
    """One switch, which can be taken back until it is complete."""

    def __init__(self, context: Context, log: ReleaseLog, intent: Intent) -> None:
        self.context = context
        self.paths = context.paths
        self.log = log
        self.intent = intent
        self.before = ""

    def make(self, verify: Callable[[], None]) -> None:
        """Send visitors to the new release; `verify` says whether they arrive."""
        old, new = self.intent.old, self.intent.new
        staged = files.stage(texts(self.context, new, old))
        self.before = links.remembered(self.paths)
        self.intent.write(self.paths.intent)
        try:
            links.remember(self.paths, old.release if old.release != new.release else "")
            links.point_to(self.paths, new)
            verify()
            commit(self.context, staged)
        except BaseException:
            self.take_back()
            raise
        self.log.state = new

    def take_back(self) -> None:
        """Make links and files say again what they said before. What fails here, a reboot completes."""
        old = self.intent.old
        links.point_to(self.paths, old)
        links.remember(self.paths, self.before)
        self.log.state = old
        with contextlib.suppress(OSError, Failure):
            if old.release:
                commit(self.context, files.stage(texts(self.context, old, State())))
            else:
                self.paths.state_file.unlink(missing_ok=True)
                for name in programs.written(self.context):
                    programs.file_of(self.context, name).unlink(missing_ok=True)
            self.complete()

    def complete(self) -> None:
        """Forget the intent: all is as it says."""
        self.paths.intent.unlink(missing_ok=True)
