"""What a release adds to the live one, and what it takes back, as git tells it."""

from __future__ import annotations

from dataclasses import dataclass, field

from windlass.source import Source, asks

KEPT = 200
FORMAT = "%H%x00%h%x00%an%x00%as%x00%s"


@dataclass(frozen=True)
class Commit:
    """One commit; `date` is its author's day."""

    commit: str
    short: str
    author: str
    date: str
    subject: str


@dataclass(frozen=True)
class Commits:
    """Commits newest first, at most `KEPT`; the counts are whole. `problem`: why it is not known what is new."""

    new: list[Commit] = field(default_factory=list)
    new_count: int = 0
    undone: list[Commit] = field(default_factory=list)
    undone_count: int = 0
    problem: str = ""


def between(source: Source, live: str) -> Commits:
    """Compare a version with the live commit; all of its history is new when nothing is live."""
    if live and asks(["cat-file", "-t", live], source.folder) != "commit":
        return Commits(problem=f"the live commit {live[:9]} is not in this repository: fetch it to see what changes")
    new, undone = (f"{live}..{source.commit}", f"{source.commit}..{live}") if live else (source.commit, "")
    return Commits(
        _log(source, new),
        _count(source, new),
        _log(source, undone) if undone else [],
        _count(source, undone) if undone else 0,
    )


def _paths(source: Source) -> list[str]:
    """Keep to the folder of the app, where that is a part of a larger repository."""
    return ["--", "."] if asks(["rev-parse", "--show-prefix"], source.folder) else []


def _log(source: Source, span: str) -> list[Commit]:
    arguments = ["log", f"--max-count={KEPT}", f"--format={FORMAT}", "--end-of-options", span, *_paths(source)]
    lines = asks(arguments, source.folder).splitlines()
    return [Commit(*parts) for line in lines if len(parts := line.split("\0")) == 5]


def _count(source: Source, span: str) -> int:
    return int(asks(["rev-list", "--count", "--end-of-options", span, *_paths(source)], source.folder) or 0)
