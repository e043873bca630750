"""The app's release command, which brings the database to the new code: tried again where a lock is in its way."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence

from windlass import messages
from windlass.server import runner
from windlass.server.database import lock_holders, migrations, owner, postgresql
from windlass.server.environment import Context
from windlass.server.job import Job
from windlass.server.processes import command, procfile
from windlass.server.runner import Outcome
from windlass.server.tail import LINES, Watch, because, reason

TRIES = 5
PAUSES = (1.0, 2.0, 4.0, 8.0)
# What a release command meets that takes itself for the app.
DENIED = re.compile(r"permission denied|must be owner of|authentication failed|role \S+ does not exist", re.IGNORECASE)
LOCKED = re.compile(r"lock timeout|\b55P03\b|LockNotAvailable", re.IGNORECASE)


def wanted(work: Job, release: str) -> str:
    """Return the release command, or nothing where there is none, or another server runs it."""
    processes = procfile.processes_of(work.context.settings, work.context.paths.releases / release)
    return processes.get("release", "") if work.request.release_command else ""


def run(work: Job, release: str) -> None:
    """Run the release command, as the owner of the schema."""
    shell = ["/bin/sh", "-c", command.plain_command(wanted(work, release))[0]]
    logged = Watch(work.context, ["release"])
    outcome = patiently(work, release, shell)
    if outcome.status:
        # Some commands tell the log alone why they failed.
        tail = list(outcome.tail)
        tail = tail if reason(tail) else [*tail, *logged.lines()[-LINES:]]
        denied = owner.owns(work.context) and any(DENIED.search(line) for line in tail)
        who = owner.user(work.context).name if denied else ""
        failure = messages.release_command_failed(outcome.status, because(tail), who)
        failure.log = tail
        raise failure


def patiently(work: Job, release: str, arguments: Sequence[str]) -> Outcome:
    """Run a command that changes the database; try again when it waited for a lock in vain.

    Every query that comes after a waiting migration waits behind it, so it must not wait for long.
    """
    limit = work.context.settings.lock_timeout
    task = runner.Task(
        list(arguments),
        owner.user(work.context),
        migrations.folder_of(work.context, release),
        _environment(work.context, release),
        setuid_programs=work.context.settings.setuid_programs,
    )
    holder = lock_holders.Holders(postgresql.of_owner(work.context) if limit else None)
    for number in range(TRIES):
        with holder.looking():
            outcome = runner.run(task, work.events.output)
        if not outcome.status or not limit or not any(LOCKED.search(line) for line in outcome.tail):
            return outcome
        if number < len(PAUSES):
            work.events.note(messages.note_lock_tried_again(limit, holder.last, PAUSES[number]))
            time.sleep(PAUSES[number])
    failure = messages.lock_timeout(TRIES, limit, holder.last, holder.pid)
    failure.log = list(outcome.tail)
    raise failure


def _environment(context: Context, release: str) -> dict[str, str]:
    """Return the environment with the time that a statement waits for a lock; what the owner wrote wins."""
    values = owner.values(context, release)
    if context.settings.lock_timeout:
        own = values.get("PGOPTIONS", "")
        values["PGOPTIONS"] = f"-c lock_timeout={context.settings.lock_timeout}s {own}".strip()
    return values
