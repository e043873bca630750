"""The plan of one release: the server's facts and the repository's, judged."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from windlass import source
from windlass.inventory import App
from windlass.plan import commits, difference, places, settings, sources, titles, verdicts
from windlass.plan.commits import Commits
from windlass.plan.difference import Difference
from windlass.plan.settings import Setting
from windlass.plan.sources import Code
from windlass.plan.statements import Thing
from windlass.plan.verdicts import Judged, Look, Pending
from windlass.source import Archive, Source

COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """All that is known before a release. `live` is the live release, `database` what the server says of it."""

    app: str
    host: str
    source: Source
    live: Facts
    commits: Commits
    packages: Difference
    processes: Difference
    migrations: list[Judged]
    files: Mapping[str, tuple[str, str]]
    database: Facts
    settings: list[Setting]
    disk: Facts

    def as_json(self) -> dict[str, Any]:
        """Return it with the keys that docs/plan.md names."""
        return {
            "app": self.app,
            "host": self.host,
            "version": self.source.version,
            "commit": self.source.commit,
            "live": dict(self.live) or None,
            "commits": dataclasses.asdict(self.commits),
            "packages": dataclasses.asdict(self.packages),
            "processes": dataclasses.asdict(self.processes),
            "database": {key: self.database.get(key) for key in ("tool", "vendor", "version", "applied", "problem")},
            "verdict": self.headline,
            "migrations": [self._migration(item) for item in self.migrations],
            "settings": {kind: self._settings(kind) for kind in settings.RANK},
            "disk": dict(self.disk),
        }

    @property
    def headline(self) -> str | None:
        """The worst verdict of all; None when no migration is pending."""
        codes = [code for item in self.migrations for code in item.codes]
        return min(codes, key=verdicts.ORDER.index, default=None)

    @property
    def sizes(self) -> Mapping[str, Facts]:
        """About how many `rows` and how many `bytes` each table of the database has."""
        return self.database.get("tables") or {}

    def _migration(self, item: Judged) -> dict[str, Any]:
        title, file = self.files.get(item.pending.name, ("", ""))
        return {
            "name": item.pending.name,
            "title": title,
            "file": file,
            "verdict": item.codes[0],
            "verdicts": [
                {
                    "verdict": found.code,
                    "why": found.why,
                    "places": list(found.places),
                    "tables": {name: self.sizes[name] for name in found.tables if name in self.sizes},
                }
                for found in item.verdicts
            ],
            "sql": "\n".join(f"{text};" for text in item.shown),
        }

    def _settings(self, kind: str) -> list[dict[str, Any]]:
        return [{"name": item.name, "places": item.places} for item in self.settings if item.kind == kind]


def judge(app: App, host: str, found: Source, archive: Archive, facts: Facts) -> Plan:
    """Make the plan from what the server answered and from the archive that it built."""
    live, database = facts.get("live") or {}, facts["database"]
    commit = str(live.get("commit") or "")
    commit = commit if COMMIT.fullmatch(commit) else ""
    code = sources.read(archive.file, app.directory)
    pending = [
        Pending(item["name"], sql=item["sql"], undoable=item["undoable"], problem=item["problem"])
        for item in database["migrations"]
    ]
    version = str(database.get("version") or "")
    judged = verdicts.judge(pending, version, _look(app, found, commit), database["vendor"] or "")
    return Plan(
        app.name,
        host,
        found,
        live,
        commits.between(found, commit),
        difference.between(facts["packages"]["live"], facts["packages"]["new"]),
        difference.between(facts["processes"]["live"], facts["processes"]["new"]),
        judged,
        titles.of(code),
        database,
        settings.lacking(code, facts["settings"]),
        facts["disk"],
    )


def _look(app: App, found: Source, live: str) -> Look:
    """Return what searches the live code; it is read from the repository the first time that it is wanted."""
    read: list[Code | None] = []

    def look(thing: Thing) -> list[str] | None:
        if not live:
            return []
        if not read:
            read.append(_code(app, found, live))
        return None if read[0] is None else places.find(read[0], thing)

    return look


def _code(app: App, found: Source, commit: str) -> Code | None:
    if source.asks(["cat-file", "-t", commit], found.folder) != "commit":
        return None
    with source.archive(dataclasses.replace(found, commit=commit), app.repository) as archive:
        return sources.read(archive.file, app.directory)
