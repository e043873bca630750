"""A secret text in the user's editor: in memory where there is such a folder, and gone whatever happens to `fab`."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from windlass import messages

MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of our own in it
# Outlives `fab`: its input ends when `fab` does, by whatever signal, and then the folder goes, swap files and all.
GUARD = "import shutil, sys; sys.stdin.read(); shutil.rmtree(sys.argv[1], ignore_errors=True)"


def edit(text: str, name: str) -> str:
    """Return the text as the user's editor left it; raise what says that it could not be edited."""
    command = shlex.split(os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi")
    with _folder() as folder:
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(text)
        try:
            status = subprocess.run([*command, str(path)], check=False).returncode
        except OSError as error:
            raise messages.editor_missing(command[0], error.strerror or "") from error
        if status != 0:
            raise messages.editor_failed(command[0], status)
        return path.read_text()


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """Make a folder for the user alone; a guard removes it even if this process is killed."""
    place = MEMORY if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) else None
    folder = tempfile.mkdtemp(prefix="windlass-", dir=place)
    guard = subprocess.Popen(
        [sys.executable, "-I", "-c", GUARD, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield Path(folder)
    finally:
        if guard.stdin:
            guard.stdin.close()
        guard.wait()
