"""What a timer starts: one scheduled command of an app, in the live release and as the app's user."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from windlass import messages
from windlass.server import environment, masking, names, notices, runner, settings
from windlass.server.environment import Context
from windlass.server.errors import Failure
from windlass.server.log import now
from windlass.server.paths import Paths
from windlass.server.processes import command
from windlass.server.schedule import jobs
from windlass.server.schedule.jobs import Job, Plan

KILL_AFTER = 10  # seconds from SIGTERM to SIGKILL
REMIND = 24 * 3600  # seconds until a failure that goes on is told again
LINES = 20


def cron(prefix: Path, arguments: list[str]) -> int:
    """Run `app job` as its timer would; return 0 unless it failed."""
    app, job = [*arguments, "", ""][:2]
    if not names.APP.fullmatch(app) or not names.PROCESS.fullmatch(job) or len(arguments) != 2:
        print("usage: windlass cron APP JOB")
        return 2
    paths = Paths(prefix, app)
    try:
        context = Context(paths, settings.load(paths.settings))
        plan = jobs.plan(paths.cron)
        found = plan.job(app, job)
        if found is None:
            raise messages.no_such_job(job, [known.name for known in plan.apps.get(app, [])])
    except Failure as failure:
        print(f"windlass: {failure.message}; {failure.hint}")
        return 1
    except (OSError, ValueError, KeyError) as error:
        print(f"windlass: {paths.cron}: {error}")
        return 1
    return Occasion(context, found, plan).run()


@dataclass
class Occasion:
    """One time that a job is due."""

    context: Context
    job: Job
    plan: Plan
    stopped: bool = False
    log: subprocess.Popen[bytes] | None = None
    ended: dict[str, object] = field(default_factory=dict)

    def run(self) -> int:
        """Run it; what it prints, and that it failed, goes to the app's log."""
        signal.signal(signal.SIGTERM, self._stop)
        with self._log():
            return self._run_once()

    @contextlib.contextmanager
    def _log(self) -> Iterator[None]:
        """Pass on what is said to journald, by a process of the app's user: a line belongs to who sends it."""
        paths = self.context.paths
        if not paths.journal.exists():
            yield
            return
        identifier = f"{paths.app}-cron-{self.job.name}"
        self.log = subprocess.Popen(
            ["systemd-cat", "--level-prefix=false", f"--identifier={identifier}"],
            stdin=subprocess.PIPE,
            start_new_session=True,
            **runner.user(self.context.settings.app_user).switch(),  # type: ignore[call-overload]
        )
        try:
            yield
        finally:
            self.log.communicate()

    def _run_once(self) -> int:
        paths, name = self.context.paths, self.job.name
        if not paths.current.is_symlink():
            self._say("", messages.note_job_without_release(name))
            return 0
        held = jobs.take(paths, name)
        if held is None:
            self._say("", messages.note_job_runs_already(name))
            return 0
        before = jobs.record(paths, name)
        tail, wrong = self._carry_out(held)
        self._conclude(before, tail, wrong)
        return 1 if wrong else 0

    def _stop(self, _number: int, _frame: object) -> None:
        self.stopped = True

    def _say(self, _stream: str, line: str) -> None:
        line = masking.masked(line)
        if self.log is None or self.log.stdin is None:
            print(line, flush=True)
            return
        with contextlib.suppress(OSError):  # a journal that is away is no reason to stop the command
            self.log.stdin.write(line.encode() + b"\n")
            self.log.stdin.flush()

    def _carry_out(self, held: int) -> tuple[list[str], str]:
        """Run the command in the release that is live now; return its last lines and what went wrong."""
        folder = self.context.paths.current.resolve(strict=True)
        begin = time.monotonic()
        self.ended = {"started": now(), "release": folder.name}
        try:
            outcome = runner.run(self._task(folder, held), self._say, gone=lambda: self.stopped)
        except BrokenPipeError:
            return [], messages.note_job_stopped(self.job.name)
        except (Failure, OSError, KeyError) as error:
            return [], messages.note_job_not_started(self.job.name, str(error))
        finally:
            self.ended["seconds"] = round(time.monotonic() - begin, 3)
        late = time.monotonic() - begin >= self.job.timeout
        if outcome.status in (124, 137, -signal.SIGKILL) and late:
            return list(outcome.tail), messages.note_job_timed_out(self.job.name, self.job.timeout)
        wrong = messages.note_job_failed(self.job.name, outcome.status) if outcome.status else ""
        return list(outcome.tail), wrong

    def _task(self, folder: Path, held: int) -> runner.Task:
        chosen, job = self.context.settings, self.job
        limit = ["timeout", f"--kill-after={KILL_AFTER}", str(job.timeout)]
        return runner.Task(
            [*limit, "/bin/sh", "-c", command.plain_command(job.command)[0]],
            runner.user(chosen.app_user),
            folder / chosen.directory,
            environment.of_process(self.context, folder.name, f"cron-{job.name}"),
            keep=(held,),
            setuid_programs=chosen.setuid_programs,
        )

    def _conclude(self, before: dict[str, object], tail: list[str], wrong: str) -> None:
        """Note how it ended, and tell the admin of the first failure of a row, once a day after it, and of its end."""
        told = float(str(before.get("told") or 0))
        if wrong:
            self._say("", f"windlass: {wrong}")
            if time.time() - told >= REMIND:
                told = time.time() if self._mail(wrong, tail[-LINES:]) else told
        elif told:
            well = messages.note_job_well_again(self.job.name)
            self._say("", f"windlass: {well}")
            told = 0 if self._mail(well, []) else told
        jobs.write_record(self.context.paths, self.job.name, self.ended | {"result": wrong or "ok", "told": told})

    def _mail(self, what: str, tail: list[str]) -> bool:
        app, host = self.context.settings.name, socket.gethostname()
        details = [f"{key}: {value}" for key, value in self.ended.items()]
        lines = [
            f"command: {self.job.command}",
            *details,
            f"server: {host}",
            *(["", *map(masking.masked, tail)] if tail else []),
        ]
        if not self.plan.mail:
            return True
        try:
            notices.mail(app, self.plan.mail, self.plan.smtp, f"{app} on {host}: {what}", lines)
        except (OSError, ValueError) as error:
            self._say("", f"windlass: {messages.note_notice_failed(str(error))}")
            return False
        return True
