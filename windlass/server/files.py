"""Files that are either the old or the new one, whole, whatever happens in between."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Make renames in a folder outlive a power cut."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file beside `path`, make it durable and rename it."""
    put_in_place(stage({path: text}, mode))


def stage(texts: Mapping[Path, str], mode: int = 0o644) -> dict[Path, Path]:
    """Write files beside their places, durably; what can fail for want of space fails here. Return place by file."""
    staged = {}
    for path, text in texts.items():
        beside = path.with_name(f".{path.name}.new")
        beside.unlink(missing_ok=True)
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "w") as file:
            os.fchmod(handle, mode)
            file.write(text)
            file.flush()
            os.fsync(handle)
        staged[beside] = path
    return staged


def put_in_place(staged: Mapping[Path, Path]) -> None:
    """Rename what was staged, in order, and make that durable."""
    for beside, path in staged.items():
        beside.rename(path)
    for folder in sorted({path.parent for path in staged.values()}):
        sync_folder(folder)


def replace_link(path: Path, target: str) -> None:
    """Point a symlink elsewhere by rename."""
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    beside.symlink_to(target)
    beside.rename(path)


def remove(path: Path) -> None:
    """Remove a file or a folder, whichever it is, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
