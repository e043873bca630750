"""When a scheduled command runs: from cron's five fields, or systemd's own form, to lines of a timer's OnCalendar."""

from __future__ import annotations

import re
from dataclasses import dataclass

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class ScheduleError(ValueError):
    """A schedule that cannot be; it says what to write."""


@dataclass(frozen=True)
class Field:
    """One of cron's five fields."""

    name: str
    least: int
    most: int
    words: tuple[str, ...] = ()

    def values(self, text: str) -> list[int]:
        """Return the values that the field allows, in order."""
        found: set[int] = set()
        for part in text.split(","):
            found.update(self._part(part))
        return sorted(found)

    def _part(self, part: str) -> range:
        match = re.fullmatch(r"(\*|\w+)(?:-(\w+))?(?:/(\d+))?", part)
        if not match or (match[1] == "*" and match[2]):
            raise ScheduleError(f"{part!r} is no {self.name}; write a number, *, 1-5, */10 or 1,15")
        step = int(match[3] or 1)
        if match[1] == "*":
            first, last = self.least, self.most
        else:
            first = self._number(match[1])
            last = self._number(match[2]) if match[2] else first
        if match[3] and match[1] != "*" and not match[2]:
            raise ScheduleError(f"{part!r} is no {self.name}; write {match[1]}-{self.most}/{step}")
        if step < 1 or first > last:
            raise ScheduleError(f"{part!r} is an empty range; write the smaller number first, and a step of 1 or more")
        return range(first, last + 1, step)

    def _number(self, word: str) -> int:
        if word.lower() in self.words:
            return self.words.index(word.lower()) + self.least
        if not word.isascii() or not word.isdecimal() or not self.least <= int(word) <= self.most:
            names = f", or {self.words[0]} to {self.words[-1]}" if self.words else ""
            raise ScheduleError(f"{word!r} is no {self.name}; write {self.least} to {self.most}{names}")
        return int(word)


FIELDS = (
    Field("minute", 0, 59),
    Field("hour", 0, 23),
    Field("day of the month", 1, 31),
    Field("month", 1, 12, MONTHS),
    Field("day of the week", 0, 7, DAYS),
)


def calendar(schedule: str) -> list[str]:
    """Return the OnCalendar lines of a schedule; it is due when one of them is. ScheduleError if it cannot be."""
    text = " ".join(schedule.split())
    if text.startswith("@"):
        if text.lower() not in NICKNAMES:
            hint = "a process that starts with the server belongs into the Procfile" if text == "@reboot" else ""
            raise ScheduleError(f"{text} is not known; {hint or 'write one of ' + ', '.join(NICKNAMES)}")
        text = NICKNAMES[text.lower()]
    words = text.split()
    if len(words) == len(FIELDS):
        return _from_cron(words)
    if not _is_calendar(text):
        raise ScheduleError(
            f"{schedule!r} is no schedule; write `0 3 * * *` (minute, hour, day, month, weekday) or @daily"
        )
    return [text]


def _from_cron(words: list[str]) -> list[str]:
    minutes, hours, days, months, weekdays = (field.values(word) for field, word in zip(FIELDS, words, strict=True))
    weekday = _weekdays({day % 7 for day in weekdays})
    time = f"{_shown(hours, FIELDS[1])}:{_shown(minutes, FIELDS[0])}:00"
    month, day = _shown(months, FIELDS[3]), _shown(days, FIELDS[2])
    if not words[2].startswith("*") and not words[4].startswith("*"):
        # cron: where both days are named, either will do.
        dates = [f"*-{month}-{day} {time}"] if _comes(days, months) else []
        return [*dates, f"{weekday}*-{month}-* {time}"]
    if not _comes(days, months):
        raise ScheduleError(f"{' '.join(words)!r} names a day that no month of it has; write another day")
    return [f"{weekday}*-{month}-{day} {time}"]


def _comes(days: list[int], months: list[int]) -> bool:
    return any(days[0] <= LONGEST_MONTHS[month - 1] for month in months)


def _shown(values: list[int], field: Field) -> str:
    """Return the values as systemd writes them: `*`, `00..20/5` or `01,15`."""
    if len(values) == field.most - field.least + 1:
        return "*"
    step = values[1] - values[0] if len(values) > 2 else 0
    if step and values == list(range(values[0], values[-1] + 1, step)):
        return f"{values[0]:02}..{values[-1]:02}" + (f"/{step}" if step > 1 else "")
    return ",".join(f"{value:02}" for value in values)


def _weekdays(days: set[int]) -> str:
    """Return the days of the week, from Monday, as systemd writes them; nothing for all."""
    if len(days) == len(DAYS):
        return ""
    return ",".join(DAYS[day].capitalize() for day in [*range(1, 7), 0] if day in days) + " "


_NUMBERS = r"(?:\*|\d+(?:\.\.\d+)?)(?:/\d+)?"
_LIST = rf"{_NUMBERS}(?:,{_NUMBERS})*"
_DAY = r"(?:mon(?:day)?|tue(?:s|sday)?|wed(?:nesday)?|thu(?:r|rs|rsday)?|fri(?:day)?|sat(?:urday)?|sun(?:day)?)"
_WEEK = re.compile(rf"{_DAY}(?:(?:,|\.\.){_DAY})*,?", re.I)
_DATE = re.compile(rf"(?:{_LIST}-)?({_LIST})[-~]({_LIST})")
_TIME = re.compile(rf"({_LIST}):({_LIST})(?::({_LIST}))?")
_WORDS = re.compile("minutely|hourly|daily|monthly|weekly|yearly|annually|quarterly|semiannually", re.I)
_ZONE = re.compile("UTC|[A-Z][A-Za-z_]+(?:/[A-Za-z0-9_+-]+)+")


def _is_calendar(text: str) -> bool:
    """Say whether the text is what systemd's OnCalendar takes (systemd.time(7)), whole seconds and no years checked."""
    words = text.split()
    if len(words) > 1 and _ZONE.fullmatch(words[-1]):
        words.pop()
    if len(words) == 1 and _WORDS.fullmatch(words[0]):
        return True
    if words and _WEEK.fullmatch(words[0]):
        words = words[1:] or ["0:0"]
    if words and (date := _DATE.fullmatch(words[0])):
        if not _within(date[1], 1, 12) or not _within(date[2], 1, 31):
            return False
        words = words[1:] or ["0:0"]
    time = _TIME.fullmatch(words[0]) if len(words) == 1 else None
    return time is not None and _within(time[1], 0, 23) and _within(time[2], 0, 59) and _within(time[3] or "*", 0, 59)


def _within(text: str, least: int, most: int) -> bool:
    return all(
        least <= int(number) <= most
        for part in text.split(",")
        for number in re.findall(r"\d+", part.partition("/")[0])
    ) and "/0" not in re.sub(r"/0*(?=[1-9])", "/", text)
