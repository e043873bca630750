"""The phase `release`: the app's release command, which brings the database to the new code."""

from __future__ import annotations

from windlass import messages
from windlass.server import command, environment, procfile, runner
from windlass.server.job import Job
from windlass.server.tail import LINES, Watch, because, reason


def run(work: Job, release: str) -> None:
    """Run the app's release command, as the app would run it."""
    context = work.context
    folder = context.paths.releases / release
    written = procfile.processes_of(context.settings, folder).get("release")
    if not written or not work.request.release_command:
        work.events.skipped("release")
        return
    with work.events.phase("release"):
        task = runner.Task(
            ["/bin/sh", "-c", command.plain_command(written)[0]],
            runner.user(context.settings.app_user),
            folder / context.settings.directory,
            environment.of_process(context, release, "release"),
        )
        logged = Watch(context, ["release"])
        outcome = runner.run(task, work.events.output)
        if outcome.status:
            # Some commands tell the log alone why they failed.
            tail = list(outcome.tail)
            tail = tail if reason(tail) else [*tail, *logged.lines()[-LINES:]]
            failure = messages.release_command_failed(outcome.status, because(tail))
            failure.log = tail
            raise failure
