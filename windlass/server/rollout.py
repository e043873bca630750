"""A built release becomes the live one: start, probe, switch, drain, retire; or nothing has happened."""

from __future__ import annotations

import contextlib
import time

from windlass import messages
from windlass.server import command, files, names, probe, procfile, programs, sockets
from windlass.server.errors import Failure
from windlass.server.job import Job
from windlass.server.log import State
from windlass.server.programs import Program
from windlass.server.supervisor import UP
from windlass.server.tail import Watch, because, ending
from windlass.server.workers import Workers

KILL_AFTER = 2.0
WORKER_SETTLE = 0.3
POLL = 0.02


class Rollout:
    """One release on its way to the visitors, in the idle colour."""

    def __init__(self, job: Job, release: str) -> None:
        self.job = job
        self.context = job.context
        self.paths = job.context.paths
        self.supervisor = job.supervisor
        self.old = job.log.state
        self.new = State(release, names.other(self.old.colour))
        self.folder = self.paths.releases / release
        self.processes = procfile.processes_of(self.context.settings, self.folder)
        self.workers = Workers(self.context, self.supervisor, lambda text: self.job.events.note(text))
        self.watch = Watch(self.context, ["web"])
        self.pid = 0
        self.gone: set[str] = set()

    def run(self) -> None:
        """Go all the way; a `Failure` leaves the old release live wherever it still can."""
        events = self.job.events
        try:
            with events.phase("start"):
                self.start()
            with events.phase("probe"):
                self.probe()
            with events.phase("switch"):
                self.switch()
        except BaseException as error:
            self._explain(error)
            if self.job.log.state == self.old:
                self.abandon()
            raise
        with events.phase("drain"):
            self.drain()
        with events.phase("retire"):
            self.retire()

    def _explain(self, error: BaseException) -> None:
        if isinstance(error, Failure) and not error.log:
            said = self.watch.lines()
            error.log = ending(said)
            error.message += because(said)

    # names

    def _program(self, state: State, *, autostart: bool) -> Program:
        plain = self._takes_the_shells_place(state)
        return Program(state.release, "web", state.colour, autostart=autostart, whole_group=not plain)

    def _takes_the_shells_place(self, state: State) -> bool:
        web = command.Web(str(self.paths.socket(state.colour)))
        try:
            return command.web_command(self._web_line(state.release), web)[1]
        except Failure:
            if state == self.new:
                raise
            return False  # what runs may have been started with an entry that said more

    def _web_line(self, release: str) -> str:
        return procfile.processes_of(self.context.settings, self.paths.releases / release)["web"]

    def _web(self, colour: str) -> str:
        return f"{self.context.settings.name}-web-{colour}"

    # start and probe

    def start(self) -> None:
        """Start the idle colour, after clearing away whatever was left there."""
        group = self._web(self.new.colour)
        self.supervisor.stop([group], self._stop_limit(), kill_after=KILL_AFTER)
        self.paths.socket(self.new.colour).unlink(missing_ok=True)
        programs.write(self.context, self._program(self.new, autostart=False))
        self.supervisor.start([group])

    def probe(self) -> None:
        """Wait until the app is well on its own socket, and make sure that it is the new release."""
        path = self.paths.socket(self.new.colour)
        probe.wait_until_well(path, self.context.settings, self._check_alive)
        wrong = sockets.strangers(path, self.new.release, self.pid)
        if wrong:
            raise messages.wrong_release(wrong, self.new.release)

    def _check_alive(self) -> None:
        found = self.supervisor.group(self._web(self.new.colour))
        process = found[0] if found else None
        if process and process.state in UP and process.pid in (self.pid or process.pid, 0):
            self.pid = self.pid or process.pid
            return
        said = process.error if process and "too quickly" not in process.error else ""
        raise messages.start_failed(said)

    # switch and back

    def switch(self) -> None:
        """Send visitors to the new colour, and ask through nginx whether that worked."""
        programs.write(self.context, self._program(self.new, autostart=True))
        try:
            self._point_to(self.new)
            self._verify_front()
        except BaseException:
            self._point_to(self.old)
            raise
        try:
            self._commit(self.new, self.old)
        except BaseException:
            self._point_to(self.old)
            self._take_back()
            raise

    def _point_to(self, state: State) -> None:
        if not state.release:
            self.paths.live_socket.unlink(missing_ok=True)
            self.paths.current.unlink(missing_ok=True)
            return
        files.replace_link(self.paths.current, f"releases/{state.release}")
        files.replace_link(self.paths.live_socket, f"{state.colour}.sock")
        files.sync_folder(self.paths.home)

    def _verify_front(self) -> None:
        settings = self.context.settings
        if settings.front is None:
            return
        for delay in (POLL, 0.0):
            answer = probe.ask_front(settings, settings.health_timeout)
            if answer.status and answer.status < 500:
                return
            time.sleep(delay)
        raise messages.front_failed(f"https://{settings.domains[0]}{settings.health_path}", str(answer))

    def _commit(self, live: State, idle: State) -> None:
        """Make the files say what runs, so that a reboot from here on comes up with `live`, entire."""
        self.job.log.set_state(live)
        self.gone = self.workers.write(live.release)
        if idle.release:
            programs.write(self.context, self._program(idle, autostart=False))

    def _take_back(self) -> None:
        """Make the files say again what they said before a `_commit` that was cut off."""
        self.job.log.state = self.old
        with contextlib.suppress(OSError, Failure):
            if self.old.release:
                self._commit(self.old, State())
                programs.write(self.context, self._program(self.old, autostart=True))
            else:
                self.job.log.set_state(self.old)
                self.gone = self.workers.groups()
            for group in self.gone:
                programs.file_of(self.context, group).unlink(missing_ok=True)

    def abandon(self) -> None:
        """Leave nothing of the idle colour behind, its file first: Supervisor may be on its way down too."""
        group = self._web(self.new.colour)
        programs.file_of(self.context, group).unlink(missing_ok=True)
        self.supervisor.stop([group], self._stop_limit(), kill_after=KILL_AFTER)
        self.paths.socket(self.new.colour).unlink(missing_ok=True)
        self.supervisor.call("reloadConfig")

    # drain and retire

    def drain(self) -> None:
        """Wait until nobody waits for the old colour."""
        if not self.old.release:
            return
        limit = self.context.settings.request_timeout
        path = self.paths.socket(self.old.colour)
        graceful = False
        with contextlib.suppress(Failure):
            graceful = command.is_graceful(self._web_line(self.old.release))
        if not sockets.drain(path, limit, connections_too=not graceful):
            self.job.events.note(messages.note_requests_cut(limit))

    def retire(self) -> None:
        """Bring the other processes to the new release, then stop the old colour."""
        self.watch = Watch(self.context, [program.process for program in self.workers.of(self.new.release)])
        try:
            self.workers.replace(self.new.release)
            self.workers.check(self.new.release, settle=WORKER_SETTLE)
        except Failure as failure:
            self._explain(failure)
            self._switch_back(failure)
            raise
        try:
            self._stop_old()
            self.workers.check(self.new.release)
        except Failure as failure:
            failure.switched = True
            self._explain(failure)
            raise

    def _stop_old(self) -> None:
        if self.old.release:
            group = self._web(self.old.colour)
            self.supervisor.stop([group], self._stop_limit())
            programs.file_of(self.context, group).unlink(missing_ok=True)
            self.paths.socket(self.old.colour).unlink(missing_ok=True)
            self.supervisor.call("reloadConfig")

    def _switch_back(self, failure: Failure) -> None:
        """Go back to the old colour, which still runs."""
        old = self.supervisor.group(self._web(self.old.colour)) if self.old.release else []
        if not any(process.state in UP for process in old):
            failure.switched = True
            return
        programs.write(self.context, self._program(self.old, autostart=True))
        self._point_to(self.old)
        self._commit(self.old, State())
        self.workers.replace(self.old.release)
        sockets.drain(self.paths.socket(self.new.colour), self._stop_limit(), connections_too=True)
        self.abandon()
        failure.message += "; switched back"

    def _stop_limit(self) -> float:
        return programs.stop_limit(self.context, self._web(self.new.colour))
