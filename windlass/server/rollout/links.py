"""What leads visitors to a release: `current`, which decides, and what nginx follows."""

from __future__ import annotations

import contextlib
import os

from windlass.server import files, names
from windlass.server.log import State
from windlass.server.paths import Paths


def point_to(paths: Paths, state: State) -> None:
    """Send visitors to a release in its colour; without a release, nowhere."""
    if not state.release:
        paths.live_socket.unlink(missing_ok=True)
        paths.current.unlink(missing_ok=True)
        return
    files.replace_link(paths.current, f"releases/{state.release}")
    lead_to(paths, state.colour)
    files.sync_folder(paths.home)


def remembered(paths: Paths) -> str:
    """Return the release that was live before the live one."""
    return paths.previous.readlink().name if paths.previous.is_symlink() else ""


def remember(paths: Paths, release: str) -> None:
    """Name the release that was live before the live one."""
    if release:
        files.replace_link(paths.previous, f"releases/{release}")


def lead_to(paths: Paths, colour: str) -> None:
    """Make what nginx follows lead to a colour's socket."""
    files.replace_link(paths.live_socket, f"{colour}.sock")
    flag_green(paths, on=colour == "green")


def flag_green(paths: Paths, *, on: bool) -> None:
    """Make or remove the file by which nginx knows that green is live.

    Its folder is the app user's own: what stands there may be anything, and is not followed.
    """
    with contextlib.suppress(FileNotFoundError, FileExistsError, NotADirectoryError):
        folder = os.open(paths.green.parent, os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if on:
                made = os.open(paths.green.name, os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644, dir_fd=folder)
                os.close(made)
            else:
                os.unlink(paths.green.name, dir_fd=folder)
        finally:
            os.close(folder)


def restore(paths: Paths, release: str, colour: str) -> None:
    """Make what nginx follows again, as the app's user: /run is empty after a reboot."""
    if colour not in names.COLOURS or paths.live_socket.is_symlink() or not paths.current.is_symlink():
        return
    if paths.current.readlink().name == release:
        paths.green.parent.mkdir(mode=0o755, exist_ok=True)
        flag_green(paths, on=colour == "green")
        with contextlib.suppress(FileExistsError):
            paths.live_socket.symlink_to(f"{colour}.sock")
