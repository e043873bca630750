"""The processes beside `web`: each is replaced as soon as it has finished the job that it has in hand."""

from __future__ import annotations

import time
from collections.abc import Callable

from windlass import messages
from windlass.server import names
from windlass.server.environment import Context
from windlass.server.processes import command, procfile, programs, sockets
from windlass.server.processes.programs import Program
from windlass.server.processes.supervisor import DOWN, UP, Process, Supervisor

PATIENCE = 10.0
POLL = 0.02
KILLED = 10.0
SEEN = 0.1


class Workers:
    """The processes of one app beside `web`, as Supervisor runs them; `note` tells the user what is waited for."""

    def __init__(self, context: Context, supervisor: Supervisor, note: Callable[[str], None]) -> None:
        self.context = context
        self.app = context.settings.name
        self.supervisor = supervisor
        self.note = note
        self.started = 0.0

    def groups(self) -> set[str]:
        """Return the groups that have a file."""
        webs = {f"{self.app}-web-{colour}" for colour in names.COLOURS}
        return programs.written(self.context) - webs

    def of(self, release: str) -> list[Program]:
        """Return the programs that a release has here, those that are scaled to none left out."""
        settings = self.context.settings
        processes = procfile.processes_of(settings, self.context.paths.releases / release)
        return [
            Program(release, name, number=number, whole_group=not command.plain_command(processes[name])[1])
            for name, count in procfile.runs(processes, settings).items()
            for number in range(1, count + 1)
        ]

    def write(self, release: str) -> set[str]:
        """Write the files of a release's programs; return the groups that it lacks."""
        before = self.groups()
        wanted = self.of(release)
        for program in wanted:
            programs.write(self.context, program)
        return before - {program.name(self.app) for program in wanted}

    def replace(self, release: str, groups: set[str] | None = None) -> None:
        """Stop the processes (or these groups of them) and start those of the release in their place.

        Nobody waits for another's job: each starts anew when its own predecessor has ended, never beside it.
        """
        wanted = {program.name(self.app) for program in self.of(release)}
        waiting = (self.groups() | wanted) if groups is None else set(groups)
        started: set[str] = set()
        self.supervisor.call("reloadConfig")
        begin = time.monotonic()
        self.supervisor.ask_to_stop(self._of(waiting))
        told = False
        while waiting:
            running = [item for item in self._of(waiting) if item.state not in DOWN]
            for group in sorted(waiting - {item.group for item in running}):
                self._exchange(group, keep=group in wanted)
                started |= {group} & wanted
                waiting.remove(group)
            self._end_late(running, time.monotonic() - begin)
            told = told or self._tell(running, time.monotonic() - begin)
            self._are_new(self._of(started), release)
            time.sleep(POLL if waiting else 0)

    def _exchange(self, group: str, *, keep: bool) -> None:
        self.supervisor.remove(group)
        if keep:
            self.started = time.monotonic()
            self.supervisor.add(group)
        else:
            programs.file_of(self.context, group).unlink(missing_ok=True)

    def _end_late(self, running: list[Process], passed: float) -> None:
        """Ask again those that Supervisor started anew meanwhile, and kill those whose time is over."""
        late = [item for item in running if passed > programs.stop_limit(self.context, item.group)]
        if late and passed > programs.stop_limit(self.context, late[0].group) + KILLED:
            raise messages.process_not_stopped(late[0].full_name, late[0].pid)
        self.supervisor.kill(late)
        self.supervisor.ask_to_stop([item for item in running if item.state != "STOPPING"])

    def _tell(self, running: list[Process], passed: float) -> bool:
        if not running or passed < 2:
            return False
        processes = sorted({programs.process_of(self.app, item.group) for item in running})
        limit = max(self.context.settings.grace(process) for process in processes)
        self.note(messages.note_jobs_in_hand(processes, limit))
        return True

    def check(self, release: str, settle: float = 0.0) -> None:
        """Wait until every process carries the release, and is up `settle` seconds after the last one was started."""
        settings = self.context.settings
        wanted = self.of(release)
        groups = {program.name(self.app) for program in wanted}
        # One that may never be two waits, before it begins, for what an earlier Supervisor left behind.
        patience = max((settings.grace(item.process) for item in wanted if item.process in settings.single), default=0)
        end = time.monotonic() + PATIENCE + patience
        settled: float | None = None
        while groups:
            found = self._of(groups)
            if {item.group for item in found} != groups or not self._are_new(found, release):
                settled = None
            elif settled is None:
                settled = max(time.monotonic() + min(settle, SEEN), self.started + settle)
            if settled is not None and time.monotonic() >= settled:
                return
            if time.monotonic() > end:
                raise messages.processes_not_up()
            time.sleep(POLL)

    def _are_new(self, found: list[Process], release: str) -> bool:
        for process in found:
            if process.state not in UP:
                raise messages.process_ended(process.group.removeprefix(f"{self.app}-"))
        return all(sockets.release_of(process.pid) == release for process in found)

    def _of(self, groups: set[str]) -> list[Process]:
        return [item for item in self.supervisor.processes() if item.group in groups] if groups else []
