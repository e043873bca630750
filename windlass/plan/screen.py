"""A plan as a person reads it: one screen, the dangers first to the eye."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from typing import TextIO

from windlass.output import paint, printable
from windlass.plan import settings, verdicts
from windlass.plan.difference import Difference
from windlass.plan.plan import Plan
from windlass.plan.verdicts import Judged, Verdict

COMMITS, ROWS, SQL_LINES = 8, 8, 8
WIDTH = 110
GUTTER = 12
COLOURS = {
    verdicts.BREAKS: "red",
    verdicts.FAILS: "red",
    verdicts.READS: "red",
    verdicts.WRITES: "yellow",
    verdicts.FINAL: "yellow",
    verdicts.UNKNOWN: "yellow",
    verdicts.HARMLESS: "green",
}


class View:
    """Turns a plan into lines for one stream."""

    def __init__(self, plan: Plan, stream: TextIO, whole_sql: bool = False) -> None:
        self.plan = plan
        self.stream = stream
        self.whole_sql = whole_sql

    def lines(self) -> Iterator[str]:
        """Give all of it, line by line."""
        yield self._title()
        yield from self._section("commits", self._commits())
        yield from self._section("packages", self._packages())
        yield from self._section("migrations", self._migrations())
        yield from self._section("settings", self._settings())
        if self.plan.processes and self.plan.live:
            yield from self._section("processes", list(self._difference(self.plan.processes, ": ", in_full=True)))
        needs, free = (in_bytes(self.plan.disk[key]) for key in ("needs", "free"))
        yield from self._section("disk", [f"{needs} needed, {free} free"])

    def _paint(self, text: str, colour: str) -> str:
        return paint(printable(text), colour, self.stream)

    def _title(self) -> str:
        plan, live = self.plan, self.plan.live
        against = f"instead of {live['release']} ({live['version']})" if live else "as its first release"
        return self._paint(f"{plan.app} {plan.source.version} ({plan.source.commit[:9]})", "bold") + printable(
            f" on {plan.host}, {against}"
        )

    def _section(self, name: str, lines: Iterable[str]) -> Iterator[str]:
        """Put the name of a section before its first line, and indent the others as far."""
        label = f"{name:<{GUTTER}}"
        for line in lines:
            yield (paint(label, "bold", self.stream) + line).rstrip()
            label = " " * GUTTER

    def _commits(self) -> Iterator[str]:
        found = self.plan.commits
        if found.problem:
            yield self._paint(found.problem, "yellow")
            return
        if not self.plan.live:
            yield count(found.new_count, "commit")
            return
        yield f"{count(found.new_count, 'commit')} since the live release" if found.new_count else "none is new"
        for item in found.new[:COMMITS]:
            said = cut(f"{item.subject}  ({item.author})", WIDTH - GUTTER - 22)
            yield printable(f"  {item.short} {item.date}  {said}")
        if found.new_count > COMMITS:
            yield f"  and {found.new_count - COMMITS} more"
        if found.undone_count:
            yield self._paint(
                f"the live release is not in this version: {count(found.undone_count, 'commit')} would be undone", "red"
            )
            for item in found.undone[:COMMITS]:
                yield self._paint(f"  {item.short} {item.date}  {cut(item.subject, WIDTH - GUTTER - 22)}", "red")

    def _packages(self) -> list[str]:
        found = self.plan.packages
        if not self.plan.live:
            return [count(len(found.added), "package")]
        return list(self._difference(found, " ")) or ["no change"]

    def _difference(self, found: Difference, between: str, in_full: bool = False) -> Iterator[str]:
        rows = [("green", f"+ {name}{between}{value}") for name, value in found.added.items()]
        rows += [("red", f"- {name}{between}{value}") for name, value in found.removed.items()]
        rows += [("yellow", f"~ {name}{between}{old} -> {new}") for name, (old, new) in found.changed.items()]
        shown = rows if in_full or len(rows) <= ROWS + 1 else rows[:ROWS]
        for colour, text in shown:
            yield self._paint(cut(text, WIDTH - GUTTER), colour)
        if rows[len(shown) :]:
            yield f"and {len(rows) - len(shown)} more (--json names them all)"

    def _migrations(self) -> Iterator[str]:
        database, pending = self.plan.database, self.plan.migrations
        if database["problem"]:
            yield self._paint(f"cannot be judged: {database['problem']}", "yellow")
        elif not database["tool"]:
            yield "neither Alembic nor Django has any here"
        elif not pending:
            yield f"none is pending ({database['tool']})"
        else:
            version = f", PostgreSQL {database['version']}" if database["version"] else ""
            yield f"{len(pending)} pending ({database['tool']}{version})"
        for item in pending:
            yield from self._migration(item)

    def _migration(self, item: Judged) -> Iterator[str]:
        title = self.plan.files.get(item.pending.name, ("", ""))[0]
        first, *others = item.codes
        mark = self._paint(verdicts.LABELS[first].upper() if first != verdicts.HARMLESS else "harmless", COLOURS[first])
        rest = "".join(f", {self._paint(verdicts.LABELS[code], COLOURS[code])}" for code in others)
        name = self._paint(item.pending.name, "bold")
        yield f"{name}  {mark}{rest}" + (f"  {self._paint(cut(title, 60), 'dim')}" if title else "")
        for verdict in item.verdicts:
            yield from self._reason(verdict)
        yield from self._sql(item)

    def _reason(self, verdict: Verdict) -> Iterator[str]:
        why = printable(f"{verdict.why}{self._sizes(verdict)}")
        yield from textwrap.wrap(why, WIDTH - GUTTER, initial_indent="  - ", subsequent_indent="    ")
        if verdict.places:
            yield self._paint(f"    {', '.join(verdict.places)}", COLOURS[verdict.code])

    def _sizes(self, verdict: Verdict) -> str:
        """Say how large the locked tables are: on a small one the lock is soon gone."""
        known = [(name, self.plan.sizes[name]) for name in verdict.tables if name in self.plan.sizes]
        said = [f"{name}: about {count(size['rows'], 'row')}, {in_bytes(size['bytes'])}" for name, size in known]
        return f" ({'; '.join(said)})" if said else ""

    def _sql(self, item: Judged) -> Iterator[str]:
        lines = "\n".join(f"{text};" for text in item.shown).replace("\t", "    ").splitlines()
        lines = [line for line in lines if line.strip()]
        kept = len(lines) if self.whole_sql or len(lines) <= SQL_LINES + 1 else SQL_LINES
        for line in lines[:kept]:
            yield self._paint(f"    {line if self.whole_sql else cut(line, WIDTH - GUTTER - 4)}", "dim")
        if lines[kept:]:
            yield f"    and {len(lines) - kept} more lines (--sql shows them)"

    def _settings(self) -> Iterator[str]:
        said = {
            settings.REQUIRED: ("red", "MISSING on the server, and the code cannot do without:"),
            settings.OPTIONAL: ("yellow", "missing on the server, read without a default:"),
            settings.EXAMPLE: ("yellow", "missing on the server, named in an example file:"),
        }
        some = False
        for kind, (colour, text) in said.items():
            found = [item for item in self.plan.settings if item.kind == kind]
            some = some or bool(found)
            if found:
                yield self._paint(text, colour)
            for item in found[:ROWS]:
                yield f"  {printable(item.name)}  {self._paint(item.places[0], 'dim')}"
            if found[ROWS:]:
                yield f"  and {len(found) - ROWS} more (--json names them all)"
        others = sum(item.kind == settings.DEFAULT for item in self.plan.settings)
        defaults = f"{count(others, 'other')} {'has its default' if others == 1 else 'have their defaults'}"
        if not some:
            yield "none is missing" + (f"; {defaults}" if others else "")
        elif others:
            yield defaults


def count(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number} {noun}{'s'[: number != 1]}"


def cut(text: str, width: int) -> str:
    """Return a text that is no longer than `width`."""
    return text if len(text) <= width else f"{text[: width - 3]}..."


def in_bytes(size: int) -> str:
    """Return a size in the unit that fits."""
    if size < 1e5:
        return f"{size / 1e3:.0f} kB"
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
