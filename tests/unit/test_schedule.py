"""Schedules, held against cron's rules by a clock of our own, and against systemd's own reading."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from windlass import schedule

START = datetime(2028, 2, 20, 12, 34, 56, tzinfo=UTC)  # a leap year
COUNT = 30
systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")

WRITTEN = {
    "* * * * *": ["*-*-* *:*:00"],
    "0 3 * * *": ["*-*-* 03:00:00"],
    "*/15 * * * *": ["*-*-* *:00..45/15:00"],
    "5,35 8-18 * * mon-fri": ["Mon,Tue,Wed,Thu,Fri *-*-* 08..18:05,35:00"],
    "0 0 1 jan,JUL *": ["*-01,07-01 00:00:00"],
    "30 4 1,15 * 5": ["*-*-01,15 04:30:00", "Fri *-*-* 04:30:00"],
    "0 0 */2 * 1": ["Mon *-*-01..31/2 00:00:00"],
    "0 0 * * 7": ["Sun *-*-* 00:00:00"],
    "0 0 * * 5-7": ["Fri,Sat,Sun *-*-* 00:00:00"],
    "0 0 29 2 *": ["*-02-29 00:00:00"],
    "0 0 31 2 1": ["Mon *-02-* 00:00:00"],
    " 0\t3  * * * ": ["*-*-* 03:00:00"],
    "@daily": ["*-*-* 00:00:00"],
    "@Weekly": ["Sun *-*-* 00:00:00"],
    "@yearly": ["*-01-01 00:00:00"],
    "@hourly": ["*-*-* *:00:00"],
    "Mon..Fri 08:00": ["Mon..Fri 08:00"],
    "daily": ["daily"],
}
OWN = [
    "Mon *-*-* 03:00",
    "*:0/15",
    "*-*-01 04:00:00 UTC",
    "Mon..Fri,Sun 10:00",
    "Sat,Sun",
    "2099-12-24",
    "*-02~03",
    "*-*~1..3 10:00",
    "*-*-1..5/2 3:4",
    "10:00 Europe/Berlin",
    "daily UTC",
    "quarterly",
    "*:*:0/20",
    "Thursday 12:00",
]
REFUSED = {
    "": "is no schedule",
    "60 * * * *": "'60' is no minute; write 0 to 59",
    "* 24 * * *": "'24' is no hour; write 0 to 23",
    "0 0 0 * *": "'0' is no day of the month; write 1 to 31",
    "0 0 * 13 *": "'13' is no month; write 1 to 12, or jan to dec",
    "0 0 * * 8": "'8' is no day of the week; write 0 to 7, or sun to sat",
    "0 0 * * xyz": "'xyz' is no day of the week",
    "5/15 * * * *": "write 5-59/15",
    "9-5 * * * *": "is an empty range",
    "*/0 * * * *": "is an empty range",
    "0 0 31 2,4 *": "names a day that no month of it has",
    "0 0 * * mon-": "is no day of the week",
    "1,,2 * * * *": "'' is no minute",
    "* * * *": "is no schedule",
    "0 0 0 * * *": "is no schedule",
    "@reboot": "belongs into the Procfile",
    "@dayly": "@dayly is not known; write one of @hourly, @daily",
    "٣ * * * *": "is no minute",
    "Mon 25:00": "is no schedule",
    "*-13-01": "is no schedule",
    "Foo 10:00": "is no schedule",
    "*:0/0": "is no schedule",
    "every day": "is no schedule",
    "daily\nOnCalendar=hourly": "is no schedule",
}


@pytest.mark.parametrize("text", WRITTEN)
def test_a_schedule_becomes_the_timers_own_form(text: str) -> None:
    assert schedule.calendar(text) == WRITTEN[text]


@pytest.mark.parametrize("text", REFUSED)
def test_a_schedule_that_cannot_be_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(schedule.ScheduleError, match=re.escape(REFUSED[text])):
        schedule.calendar(text)


@pytest.mark.parametrize("text", OWN)
def test_what_systemd_takes_is_left_as_it_is(text: str) -> None:
    assert schedule.calendar(text) == [text]


@systemd
@pytest.mark.parametrize("text", [*OWN, *WRITTEN])
def test_systemd_takes_what_is_taken_here(text: str) -> None:
    for line in schedule.calendar(text):
        assert elapses(line, 1), line


@systemd
@pytest.mark.parametrize("text", [text for text in REFUSED if re.search(r"[a-z:]|^\*-", text) and "@" not in text])
def test_systemd_refuses_what_is_refused_here(text: str) -> None:
    command = ["systemd-analyze", "calendar", text]
    assert subprocess.run(command, capture_output=True, check=False).returncode


@systemd
@pytest.mark.parametrize("text", [text for text in WRITTEN if len(text.split()) == 5])
def test_systemd_runs_it_when_cron_would(text: str) -> None:
    assert due(text) == by_systemd(text)


@systemd
def test_systemd_runs_at_random_schedules_when_cron_would() -> None:
    chance = random.Random(2028)  # noqa: S311
    for _ in range(60):
        text = " ".join(random_field(chance, field) for field in schedule.FIELDS)
        try:
            lines = schedule.calendar(text)
        except schedule.ScheduleError as error:
            assert "no month of it has" in str(error)
            continue
        assert due(text) == by_systemd(text), (text, lines)


def random_field(chance: random.Random, field: schedule.Field) -> str:
    most = field.most
    low, high = sorted((chance.randint(field.least, most), chance.randint(field.least, most)))
    listed = sorted(chance.sample(range(field.least, most + 1), 3))
    forms = ["*", "*", str(low), f"{low}-{high}", f"*/{chance.randint(1, 9)}", f"{low}-{high}/{chance.randint(1, 4)}"]
    return chance.choice([*forms, ",".join(map(str, listed))])


def by_systemd(text: str) -> list[datetime]:
    """Return the first times that systemd gives for the lines together."""
    return sorted({moment for line in schedule.calendar(text) for moment in elapses(line, COUNT)})[:COUNT]


def elapses(line: str, count: int) -> list[datetime]:
    command = ["systemd-analyze", "calendar", f"--iterations={count}", f"--base-time=@{START.timestamp():.0f}", line]
    found = subprocess.run(command, capture_output=True, text=True, check=True, env={"TZ": "UTC", "LC_ALL": "C"})
    times = re.findall(r"(?:Next elapse|Iter(?:ation|\.) #\d+): \w+ (\S+ \S+) UTC", found.stdout)
    return [datetime.strptime(moment, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC) for moment in times]


def due(text: str) -> list[datetime]:
    """Return the first times at which cron would run it, by its own rules (crontab(5)), day by day."""
    words = text.split()
    minutes, hours, days, months, weekdays = (
        set(field.values(word)) for field, word in zip(schedule.FIELDS, words, strict=True)
    )
    either = not words[2].startswith("*") and not words[4].startswith("*")
    found: list[datetime] = []
    day = START.replace(hour=0, minute=0, second=0)
    while len(found) < COUNT and day.year < START.year + 200:
        named = day.day in days, bool({day.isoweekday(), day.isoweekday() % 7} & weekdays)
        if day.month in months and (any(named) if either else all(named)):
            moments = (
                day + timedelta(hours=hour, minutes=minute) for hour in sorted(hours) for minute in sorted(minutes)
            )
            found += [moment for moment in moments if moment > START]
        day += timedelta(days=1)
    return found[:COUNT]
