"""A secret text in the user's editor: in memory where there is such a folder, and gone whatever happens to `fab`."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
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
    command = _command()
    with _folder() as folder:
        path = folder / name
        path.touch(mode=0o600)
        path.write_text(text)
        try:
            with _keys_for_the_editor():
                status = subprocess.run([*command, str(path)], check=False).returncode
        except OSError as error:
            raise messages.editor_missing(command[0], error.strerror or "") from error
        if status != 0:
            raise messages.editor_failed(command[0], status)
        try:
            return path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise messages.editor_left_no_text(command[0]) from error


def _command() -> list[str]:
    """Return the editor's words."""
    named = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""
    try:
        return shlex.split(named) or ["vi"]
    except ValueError as error:
        raise messages.editor_missing(named, str(error)) from error


@contextlib.contextmanager
def _keys_for_the_editor() -> Iterator[None]:
    """Leave Ctrl-C and Ctrl-\\ to the editor, in which they are keys like others: the terminal tells us of them too."""
    numbers = (signal.SIGINT, signal.SIGQUIT)
    before = [signal.signal(number, lambda *_: None) for number in numbers]  # what is ignored, the editor would ignore
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


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
