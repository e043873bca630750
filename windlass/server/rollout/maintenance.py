"""Maintenance mode: a flag on the disk that nginx looks for at every request, so nothing has to be reloaded."""

from __future__ import annotations

from pathlib import Path

from windlass.server import files
from windlass.server.log import now
from windlass.server.paths import Paths


def turn(paths: Paths, by: str, *, on: bool) -> dict[str, object]:
    """Turn maintenance mode on or off; say what it is now, and whether that is new."""
    before = paths.maintenance.exists()
    if on and not before:
        paths.maintenance.parent.mkdir(parents=True, exist_ok=True)
        paths.maintenance.parent.chmod(0o755)  # nginx looks into it
        files.replace(paths.maintenance, f"{now()} {by}\n")
    if before and not on:
        paths.maintenance.unlink(missing_ok=True)
        files.sync_folder(paths.maintenance.parent)
    return {"maintenance": on, "changed": before != on}


def begin_moment(paths: Paths) -> None:
    """Say, in /run, that the workers stop for a moment: whoever clears up after a kill starts them again."""
    _moment(paths).touch()


def database_changes(paths: Paths) -> None:
    """Say that the code that is live may not fit its database any more: only an action of somebody's may open then."""
    _moment(paths).write_text("the database is changed\n")


def close_for_now(paths: Paths) -> None:
    """Close to visitors for a moment: by a symlink into /run, which means nothing after a reboot."""
    begin_moment(paths)
    paths.maintenance.parent.mkdir(parents=True, exist_ok=True)
    paths.maintenance.parent.chmod(0o755)
    files.replace_link(paths.maintenance, str(_moment(paths)))


def reopen(paths: Paths) -> None:
    """Open again after such a moment, also one that was cut off; what the owner closed stays closed."""
    if paths.maintenance.is_symlink():
        paths.maintenance.unlink()
    _moment(paths).unlink(missing_ok=True)


def is_moment(paths: Paths) -> bool:
    """Say whether a moment has begun and not ended."""
    return _moment(paths).exists()


def may_be_opened(paths: Paths) -> bool:
    """Say whether a moment that was cut off left the database as the live code knows it."""
    return is_moment(paths) and _moment(paths).stat().st_size == 0


def _moment(paths: Paths) -> Path:
    return paths.sockets.parent / f"windlass-{paths.app}.closed"
