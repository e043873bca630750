"""Commands of the owner around the phases of a release, with the rights of the app: `hooks: server:` of the entry."""

from __future__ import annotations

import time
from pathlib import Path

from windlass import messages
from windlass.server import environment, names, runner
from windlass.server.errors import Failure
from windlass.server.job import Job
from windlass.server.protocol import Events
from windlass.server.tail import because

LIMIT = 300  # seconds that a hook may take
KILL_AFTER = 5  # seconds that one has to end when its time is up
CANNOT_START = 126


class Hooks:
    """The hooks of one deploy or rollback; `release` is empty until its name is known."""

    def __init__(self, work: Job, events: Events, release: str = "") -> None:
        self.work = work
        self.events = events
        self.release = release

    def __call__(self, when: str, phase: str) -> None:
        """Run the hook of that moment, if there is one.

        One that fails up to the switch ends the work; later the new release stays live, and the failure is noted.
        """
        name = f"{when}-{phase}"
        command = self.work.context.settings.hooks.get(name)
        if not command:
            return
        failure = self._failure(name, phase, command)
        if failure is None:
            return
        if not names.is_after_switch(name):
            raise failure
        self.work.failed_hooks.append(name)
        self.events.note(failure.message)

    def _failure(self, name: str, phase: str, command: str) -> Failure | None:
        started = time.monotonic()
        try:
            outcome = runner.run(self._task(name, phase, command), self.events.output)
        except ConnectionError:  # whoever asked is gone
            raise
        except OSError as error:
            return messages.hook_failed(name, CANNOT_START, f": {error}")
        if not outcome.status:
            return None
        tail = list(outcome.tail)
        failure = messages.hook_failed(name, outcome.status, because(tail))
        if time.monotonic() - started >= LIMIT:
            failure = messages.hook_too_slow(name, LIMIT)
        failure.log = tail
        return failure

    def _task(self, name: str, phase: str, command: str) -> runner.Task:
        """Return the hook's command; `timeout` sees to its end, whatever it does with its output."""
        limited = ["timeout", f"--kill-after={KILL_AFTER}", str(LIMIT), "/bin/sh", "-c", command]
        chosen = self.work.context.settings
        user, values = runner.user(chosen.app_user), self._environment(name, phase)
        return runner.Task(limited, user, self._folder(), values, setuid_programs=chosen.setuid_programs)

    def _folder(self) -> Path:
        """Return the new release's folder of the app, before there is one the live release's, else the app's home."""
        paths, directory = self.work.context.paths, self.work.context.settings.directory
        for release in (self.release, self.work.log.state.release):
            folder = (paths.releases / release).resolve() / directory
            if release and folder.is_dir():
                return folder
        return paths.home

    def _environment(self, name: str, phase: str) -> dict[str, str]:
        work = self.work
        built = bool(self.release) and (work.context.paths.releases / self.release / ".venv").is_dir()
        settled = self.release if built else work.log.state.release
        values = environment.of_process(work.context, settled, "hook")
        entry = work.log.entries.get(self.release, {})
        return values | {
            "WINDLASS_RELEASE": self.release,
            "WINDLASS_VERSION": work.request.version or str(entry.get("version", "")),
            "WINDLASS_COMMIT": work.request.commit or str(entry.get("commit", "")),
            "WINDLASS_ACTION": work.request.action,
            "WINDLASS_PHASE": phase,
            "WINDLASS_HOOK": name,
        }
