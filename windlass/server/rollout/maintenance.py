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


def close_for_now(paths: Paths) -> None:
    """Close to visitors for a moment: by a symlink into /run, which means nothing after a reboot."""
    _moment(paths).touch()
    paths.maintenance.parent.mkdir(parents=True, exist_ok=True)
    paths.maintenance.parent.chmod(0o755)
    files.replace_link(paths.maintenance, str(_moment(paths)))


def reopen(paths: Paths) -> None:
    """Open again after such a moment, also one that was cut off; what the owner closed stays closed."""
    if is_closed_for_now(paths):
        paths.maintenance.unlink()
    _moment(paths).unlink(missing_ok=True)


def is_closed_for_now(paths: Paths) -> bool:
    """Say whether it is closed for a moment, and not by its owner."""
    return paths.maintenance.is_symlink()


def _moment(paths: Paths) -> Path:
    return paths.sockets.parent / f"windlass-{paths.app}.closed"
