"""A built release becomes the live one: start, probe, switch, drain, retire; or nothing has happened."""

from __future__ import annotations

import time

from windlass import messages
from windlass.server import names
from windlass.server.errors import Failure
from windlass.server.job import Job
from windlass.server.log import State
from windlass.server.processes import probe
from windlass.server.processes.colours import KILL_AFTER, Colours
from windlass.server.processes.workers import Workers
from windlass.server.rollout import watch
from windlass.server.rollout.switch import Intent, Switch
from windlass.server.tail import Watch, because, ending

SETTLE = 0.15
POLL = 0.02


class Rollout:
    """One release on its way to the visitors, in the idle colour.

    `keep`: the old release stays ready in its colour. `back`: the new one may stand ready there since it was live,
    and the old one is bad. `only_changed`: of the other processes, those that stay are left alone.
    """

    def __init__(
        self,
        job: Job,
        release: str,
        *,
        keep: bool = False,
        back: bool = False,
        anew: bool = False,
        only_changed: bool = False,
    ) -> None:
        self.job = job
        self.context = job.context
        self.settings = job.context.settings
        self.colours = Colours(self.context, job.supervisor)
        self.workers = Workers(self.context, job.supervisor, lambda text: job.events.note(text))
        self.old = job.log.state
        self.new = State(release, names.other(self.old.colour))
        self.keep = keep
        self.only_changed = only_changed
        self.back = back
        self.anew = anew
        self.groups = self.workers.groups()
        self.intent = Intent(self.old, self.new, sorted(self.groups), back and release < self.old.release)
        self.switch = Switch(self.context, job.log, self.intent)
        self.said = Watch(self.context, ["web"])
        self.expected: set[int] = set()

    def run(self) -> None:
        """Go all the way; a `Failure` leaves the old release live wherever it still can."""
        events = self.job.events
        try:
            self._make_ready()
            with events.phase("switch"):
                self.switch.make(self._verify_front)
        except BaseException as error:
            self._explain(error)
            if self.job.log.state == self.old:
                self.colours.stop(self.new.colour, kill_after=KILL_AFTER)
            raise
        with events.phase("drain"):
            self._drain()
        with events.phase("retire"):
            self._retire()
        if self.keep or self.anew:
            self.end()

    def end(self) -> None:
        """Have the old colour end, unless it is kept: nobody waits for that, and what is cut off in it is completed.

        Not so where the database was changed between the two: the old code is gone before visitors come back.
        """
        if self.old.release and not self.keep:
            self.colours.stop(self.old.colour)
        self.switch.complete()

    def _make_ready(self) -> None:
        """Have the new release stand ready in its colour: started now, or kept there since it was live."""
        events = self.job.events
        ended = watch.supersede(self.context.paths)
        answer = self.colours.warm(self.new) if self.back and not self.anew else 0
        if answer:
            events.skipped("start")
        else:
            with events.phase("start"):
                # What was live before a watch may have requests in hand still.
                self.colours.start(self.new, in_use=ended is not None)
        with events.phase("probe"):
            self.expected = {(answer or self.colours.probe(self.new)) // 100}
            if self.old.release and self.settings.front is not None:
                self.expected.add(probe.ask_front(self.settings, self.settings.health_timeout).status // 100)

    def _explain(self, error: BaseException) -> None:
        if isinstance(error, Failure) and not error.log:
            lines = self.said.lines()
            error.log = ending(lines)
            error.message += because(lines)

    def _verify_front(self) -> None:
        """Ask through nginx: it must answer as the new release does, or as it did before with what guards it."""
        if self.settings.front is None:
            return
        for delay in (POLL, 0.0):
            answer = probe.ask_front(self.settings, self.settings.health_timeout)
            if answer.status and answer.status < 500 and answer.status // 100 in self.expected:
                return
            time.sleep(delay)
        url = f"https://{self.settings.domains[0]}{self.settings.health_path}"
        raise messages.front_failed(url, str(answer))

    def _drain(self) -> None:
        """Wait until nobody waits for the old colour."""
        if self.old.release and not self.colours.drain(self.old):
            self.job.events.note(messages.note_requests_cut(self.settings.request_timeout))

    def _retire(self) -> None:
        """Bring the other processes to the new release."""
        self.said = Watch(self.context, sorted({program.process for program in self.workers.of(self.new.release)}))
        try:
            wanted = self._wanted(self.new)
            self.workers.replace(self.new.release, self.groups ^ wanted if self.only_changed else self.groups | wanted)
            self.workers.check(self.new.release, settle=SETTLE)
        except Failure as failure:
            self._explain(failure)
            self._go_back(failure)
            raise

    def _go_back(self, failure: Failure) -> None:
        """Go back to the old colour, which still runs."""
        if not self.old.release or not self.colours.is_up(self.old.colour):
            failure.switched = True
            self.switch.complete()
            return
        groups = self.workers.groups()
        self.switch.take_back()
        self.workers.replace(self.old.release, groups | self.groups | self._wanted(self.old))
        self.colours.empty(self.new.colour)
        self.colours.stop(self.new.colour, kill_after=KILL_AFTER)
        failure.message += "; switched back"

    def _wanted(self, state: State) -> set[str]:
        return {program.name(self.settings.name) for program in self.workers.of(state.release)}
