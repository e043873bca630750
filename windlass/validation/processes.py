"""Checks of what an app's entry says about its processes: names, counts, how they are stopped, what runs when."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from windlass import messages, schedule, specs

SIGNALS = ("HUP", "INT", "KILL", "QUIT", "TERM", "USR1", "USR2")
LONGEST_STOP = 800  # systemd gives Supervisor 900 s to stop all that it runs
MOST = 100
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
JOB = re.compile(r"[a-z][a-z0-9_-]{0,26}")
LONGEST_JOB = 7 * 24 * 3600

Finding = tuple[tuple[Any, ...], str]


def entry(app: dict[str, Any]) -> Iterator[Finding]:
    """Give the mistakes of one entry: the path of the key, and what is wrong with it."""
    for key in ("processes", "scale", "stop_timeouts", "stop_signals"):
        for name in app.get(key) or {}:
            if not NAME.fullmatch(str(name)):
                yield (key, name), _not_a_name(name)
    for index, name in enumerate(app.get("single") or []):
        if not NAME.fullmatch(name):
            yield ("single", index), _not_a_name(name)
    for name, command in (app.get("processes") or {}).items():
        if not is_command(command):
            yield ("processes", name), "must be a command on one line, in quotes"
    yield from _counts(app)
    yield from _stops(app)
    yield from _cron(app)


def _not_a_name(name: Any) -> str:
    return f"{name!r} cannot be a process name; write letters, digits, - and _"


def is_command(command: Any) -> bool:
    """Say whether this can be a command."""
    return isinstance(command, str) and bool(command.strip()) and "\0" not in command and "\n" not in command.strip()


def _counts(app: dict[str, Any]) -> Iterator[Finding]:
    for name, count in (app.get("scale") or {}).items():
        if not _is_number(count, 0, MOST):
            yield ("scale", name), f"must be a whole number from 0 to {MOST}, not {_shown(count)}"
        elif name in single(app) and count > 1:
            hint = f"write 1, or leave {name} out of `single`"
            yield ("scale", name), f"{name} may never run twice at a time, so not {count}; {hint}"


def single(app: dict[str, Any]) -> list[str]:
    """Return the processes of an entry that may never run twice at a time."""
    return list(specs.complete(app)["single"] or [])


def _stops(app: dict[str, Any]) -> Iterator[Finding]:
    for name, seconds in (app.get("stop_timeouts") or {}).items():
        if not _is_number(seconds, 1, LONGEST_STOP):
            yield ("stop_timeouts", name), f"must be seconds from 1 to {LONGEST_STOP}, not {_shown(seconds)}"
    for name, number in (app.get("stop_signals") or {}).items():
        if number not in SIGNALS:
            hint = messages.did_you_mean(str(number).upper().removeprefix("SIG"), SIGNALS)
            yield ("stop_signals", name), f"{_shown(number)} is no signal; {hint}"


def _cron(app: dict[str, Any]) -> Iterator[Finding]:
    seen: set[str] = set()
    for index, job in enumerate(app.get("cron") or []):
        name = job["name"]
        if not JOB.fullmatch(name):
            yield ("cron", index, "name"), f"{name!r} will not do; write up to 27 lower-case letters, digits, - and _"
        elif name in seen or f"cron-{name}" in (app.get("processes") or {}):
            yield ("cron", index, "name"), f"{name} is there already; write another name"
        seen.add(name)
        try:
            schedule.calendar(job["schedule"])
        except schedule.ScheduleError as error:
            yield ("cron", index, "schedule"), str(error)
        if not is_command(job["command"]):
            yield ("cron", index, "command"), "must be a command on one line, in quotes"
        if not _is_number(job.get("timeout") or 3600, 1, LONGEST_JOB):
            yield ("cron", index, "timeout"), f"must be seconds from 1 to {LONGEST_JOB}, not {_shown(job['timeout'])}"


def _is_number(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def pairs(apps: list[dict[str, Any]]) -> Iterator[Finding]:
    """Refuse two apps whose programs could get one name: `shop` has `shop-web-blue`, and `shop-web` may have it too."""
    for short in apps:
        known = {"web"}.union(*(short.get(key) or () for key in ("processes", "scale", "stop_timeouts", "single")))
        for index, long in enumerate(apps):
            name = long["name"]
            rest = name.removeprefix(f"{short['name']}-")
            taken = [process for process in known if f"{rest}-".startswith(f"{process}-")]
            if rest != name and taken:
                what = f"{short['name']}'s process {taken[0]}"
                yield ("apps", index, "name"), f"{name} would be confused with {what}; write another name"
    yield from _same_timer(apps)


def _same_timer(apps: list[dict[str, Any]]) -> Iterator[Finding]:
    """Refuse two timers of one name: `a-b` of `shop`, and `b` of `shop-a`."""
    owners: dict[str, str] = {}
    for index, app in enumerate(apps):
        for position, job in enumerate(app.get("cron") or []):
            owner = owners.setdefault(f"{app['name']}-{job['name']}", app["name"])
            if owner != app["name"]:
                what = f"{owner} has a timer of that name"
                yield ("apps", index, "cron", position, "name"), f"{what}; write another name than {job['name']}"
