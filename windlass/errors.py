"""The one error type of the laptop's side: it becomes one line on stderr and an exit status."""

from __future__ import annotations

from enum import IntEnum


class Status(IntEnum):
    """Exit statuses of the verbs of `fab`."""

    DONE = 0
    FAILED = 1  # nothing changed for visitors
    USAGE = 2  # arguments, inventory, an app or a version that is not there, vault
    FAILED_AFTER_SWITCH = 3
    UNREACHED = 4  # no connection, or its key was refused
    LOCKED = 5  # another deploy holds the lock
    INTERRUPTED = 130  # Ctrl-C


# What the release program says of a failure that has a status of its own; any other is FAILED.
STATUS_OF_CODE = {
    "already-live": Status.USAGE,
    "bad-request": Status.USAGE,
    "cancelled": Status.INTERRUPTED,
    "locked": Status.LOCKED,
    "no-such-release": Status.USAGE,
    "switched-back": Status.FAILED_AFTER_SWITCH,
    "unknown-app": Status.USAGE,
    "unknown-process": Status.USAGE,
}


def status_of(code: str, switched: bool = False) -> Status:
    """Return the exit status for a failure of the release program; `switched`: visitors have the new release."""
    status = STATUS_OF_CODE.get(code, Status.FAILED)
    return Status.FAILED_AFTER_SWITCH if switched and status != Status.LOCKED else status


class WindlassError(Exception):
    """What went wrong, and what to do about it.

    `log` holds lines that explain it (the end of the app's log); they are shown before the message.
    """

    def __init__(self, message: str, hint: str = "", status: Status = Status.USAGE, log: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.status = status
        self.log = log

    def __str__(self) -> str:
        """Return the message and its hint as one line."""
        text = f"{self.message}; {self.hint}" if self.hint else self.message
        return " ".join(text.split())


class InventoryError(WindlassError):
    """Mistakes of an inventory, a line each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(problems[0])
        self.problems = tuple(problems)

    def __str__(self) -> str:
        """Return the problems, a line each."""
        return "\n".join(" ".join(problem.split()) for problem in self.problems)
