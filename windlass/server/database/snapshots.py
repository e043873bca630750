"""Copies of the database from before a release's migrations: taken, checked, listed, removed."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from windlass import messages
from windlass.server import files
from windlass.server.checks import FREE_BYTES
from windlass.server.database import postgresql
from windlass.server.database.postgresql import Database, as_superuser
from windlass.server.environment import Context
from windlass.server.errors import Failure
from windlass.server.log import now
from windlass.server.paths import Paths

SUFFIX = ".dump"
LOCK_WAIT = "30s"
SIZE = "SELECT coalesce(sum(pg_catalog.pg_table_size(relid)), 0) FROM pg_catalog.pg_stat_user_tables"
# Rows written since the statistics began, for each table.
WRITTEN = (
    "SELECT schemaname || '.' || relname, n_tup_ins, n_tup_upd, n_tup_del FROM pg_catalog.pg_stat_user_tables "
    "WHERE relname NOT IN ('alembic_version', 'django_migrations')"
)


@dataclass(frozen=True)
class Snapshot:
    """What is recorded of one copy; `written` counts the rows written to each table before it was taken."""

    bytes: int
    taken: str
    finished: str
    seconds: float
    applied: str
    written: dict[str, list[int]]

    def as_dict(self) -> dict[str, object]:
        """Return it for the release log."""
        return dict(vars(self))


def file_of(paths: Paths, release: str) -> Path:
    """Return where the copy from before a release's migrations is."""
    return paths.snapshots / f"{release}{SUFFIX}"


def take(context: Context, database: Database, name: str, applied: str) -> Snapshot:
    """Copy the database to a file of this name; `Failure` leaves nothing of it behind."""
    try:
        asked = as_superuser(database)
        asked = asked if asked.superuser else postgresql.of_owner(context) or asked
        return _take(context.paths, asked, name, applied)
    except OSError as error:
        raise messages.snapshot_failed(str(error)) from error
    except Failure as failure:
        raise messages.snapshot_failed(failure.message) from failure


def _take(paths: Paths, database: Database, name: str, applied: str) -> Snapshot:
    folder, path = paths.snapshots, file_of(paths, name)
    folder.mkdir(mode=0o700, exist_ok=True)
    sweep(paths)
    _require_space(database, folder)
    taken, started, written = now(), time.monotonic(), counters(database)
    beside = path.with_name(f".{path.name}.new")
    try:
        with _created(beside) as file:
            _dump(database, file)
        _check(database, beside)
        beside.rename(path)
    finally:
        beside.unlink(missing_ok=True)
    files.sync_folder(folder)
    seconds = round(time.monotonic() - started, 3)
    return Snapshot(path.stat().st_size, taken, now(), seconds, applied, written)


@contextmanager
def _created(path: Path) -> Iterator[IO[bytes]]:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb", buffering=0) as file:
        yield file
        os.fsync(handle)


def _dump(database: Database, file: IO[bytes]) -> None:
    words = ["pg_dump", "--format=custom", "--no-password", f"--lock-wait-timeout={LOCK_WAIT}"]
    answer = database.program(words, stdout=file, limit=None)
    if answer.status:
        raise messages.database_refused(answer.last_error)


def _check(database: Database, path: Path) -> None:
    """Make sure that the copy can be read to the end of its table of contents."""
    with path.open("rb") as file:
        answer = database.program(["pg_restore", "--list"], stdin=file, limit=None)
    if answer.status or "TOC Entries" not in answer.output:
        raise messages.snapshot_unreadable(answer.last_error)


def _require_space(database: Database, folder: Path) -> None:
    needed = int(database.sql(SIZE)[0][0]) + FREE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise messages.snapshot_too_large(needed // 1024**2, folder, free // 1024**2)


def counters(database: Database) -> dict[str, list[int]]:
    """Return how many rows were inserted, updated and deleted in each table, by the server's statistics."""
    return {row[0]: [int(value) for value in row[1:]] for row in database.sql(WRITTEN)}


def sweep(paths: Paths) -> None:
    """Remove copies that were cut off."""
    for path in paths.snapshots.glob(f".*{SUFFIX}.new"):
        path.unlink()


def prune(paths: Paths, keep: int) -> None:
    """Keep the newest copies; the order is by name."""
    if paths.snapshots.is_dir():
        for path in sorted(paths.snapshots.glob(f"*{SUFFIX}"), reverse=True)[max(keep, 0) :]:
            path.unlink()
