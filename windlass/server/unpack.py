"""This program, unpacked and compiled once by root: from its one file Python would compile it anew at every start."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

KEPT = 3  # a program that is at work may still import from the one before


def unpack(archive: str, place: Path) -> None:
    """Put the modules of `archive` into `place`, whole or not at all: without room for them only time is lost."""
    import compileall
    import py_compile
    import zipfile

    beside = place.with_name(f".{place.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        mask = os.umask(0o022)
        try:
            beside.mkdir(parents=True)
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(beside)
            mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
            compileall.compile_dir(beside, quiet=2, invalidation_mode=mode, stripdir=str(beside))
            beside.rename(place)
        finally:
            os.umask(mask)
        others = sorted(place.parent.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in others[KEPT:]:
            shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(beside, ignore_errors=True)
