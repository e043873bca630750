"""Signs that a release which serves visitors is not well."""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from windlass.server.environment import Context
from windlass.server.errors import Failure
from windlass.server.follower import Follower
from windlass.server.log import State
from windlass.server.processes import probe
from windlass.server.processes.colours import Colours
from windlass.server.processes.supervisor import UP, Process, Supervisor
from windlass.server.processes.workers import Workers

ASK_EVERY = 1.0
ASK_LIMIT = 8.0
ASK_FAILURES = 3
STARTS = 3
LEAST_ANSWERS = 10
BEFORE_BYTES = 64 * 1024
# nginx's format `windlass`: status, bytes, referrer, agent, host, seconds, seconds of the app or `-`.
ANSWER = re.compile(rb'" (\d{3}) \d+ "[^"]*" "[^"]*" \S+ [\d.]+ (\S+)')


class Over(Exception):  # noqa: N818 - an end, and no error
    """There is nothing left to go back to: Supervisor was restarted."""


@dataclass
class Answers:
    """What the app answered, by nginx's log; what nginx said itself, in maintenance say, does not count."""

    total: int = 0
    failed: int = 0

    def count(self, line: bytes) -> None:
        """Take in a line of the log."""
        found = ANSWER.search(line)
        if found and found[2] != b"-":
            self.total += 1
            self.failed += found[1].startswith(b"5")

    @property
    def percent(self) -> float:
        """The share of answers with 5xx; 0 while there are too few to tell."""
        return 100 * self.failed / self.total if self.total >= LEAST_ANSWERS else 0.0


def answers_before(path: Path) -> Answers:
    """Return the last answers in the log so far."""
    found = Answers()
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - BEFORE_BYTES))
            for line in file.read().splitlines()[1 if size > BEFORE_BYTES else 0 :]:
                found.count(line)
    except OSError:
        pass
    return found


@dataclass
class Signs:
    """What is looked at, again and again, from the switch on."""

    context: Context
    supervisor: Supervisor
    state: State
    answers: Answers = field(default_factory=Answers)
    starts: dict[str, set[int]] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        path = self.context.paths.access_log
        self.before = answers_before(path)
        self.follower = Follower(path, at_end=True)
        self.colours = Colours(self.context, self.supervisor)
        self.groups: set[str] = set()
        self.pid = 0
        self.life = 0
        self.asked = 0.0

    def begin(self, pid: int) -> None:
        """Remember what is well now; `pid` is the web process."""
        self.pid = pid
        self.life = self.supervisor.call("getPID")
        workers = Workers(self.context, self.supervisor, lambda _text: None).of(self.state.release)
        self.groups = {program.name(self.context.settings.name) for program in workers}

    def look(self) -> str:
        """Return what is wrong, or nothing; raise `Over` when there is nothing to go back to any more."""
        try:
            if self.supervisor.call("getPID") != self.life:
                raise Over
            processes = self.supervisor.processes()
        except Failure:
            return ""  # Supervisor is on its way down or up
        return self._web(processes) or self._workers(processes) or self._errors() or self._health()

    def _web(self, processes: list[Process]) -> str:
        group = self.colours.group(self.state.colour)
        found = next((item for item in processes if item.group == group), None)
        if found is None or found.state not in UP:
            return f"its web process ended ({found.state.lower() if found else 'gone'})"
        return "" if found.pid == self.pid else "its web process ended and was started again"

    def _workers(self, processes: list[Process]) -> str:
        for item in processes:
            if item.group not in self.groups:
                continue
            starts = self.starts.setdefault(item.name, set())
            starts.update({item.pid} - {0})
            if item.state == "FATAL" or len(starts) > STARTS:
                name = item.group.removeprefix(f"{self.context.settings.name}-")
                return f"its process {name} ended again and again"
        return ""

    def _errors(self) -> str:
        for line in self.follower.raw_lines():
            self.answers.count(line)
        percent = self.answers.percent
        if percent <= self.context.settings.watch_errors or percent <= self.before.percent:
            return ""
        return f"{self.answers.failed} of {self.answers.total} answers were 5xx ({percent:.0f} %)"

    def _health(self) -> str:
        if time.monotonic() - self.asked < ASK_EVERY:
            return ""
        settings = self.context.settings
        limit = min(ASK_LIMIT, settings.health_timeout)
        answer = probe.ask_socket(self.context.paths.live_socket, settings, limit)
        self.asked = time.monotonic()
        self.failures["health"] = 0 if answer.good else self.failures["health"] + 1
        if self.failures["health"] < ASK_FAILURES:
            return ""
        return f"the health path {settings.health_path} {answer}, {ASK_FAILURES} times in a row"
