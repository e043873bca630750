"""A watcher stands by for the rollback that is asked for in its time: it has the program loaded, and need not start.

The program that was asked hands its input and output over, and ends as the work does. The watcher first says which
program it is; another one, and a watcher that does not say so at once, are left alone, and the work is done here.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Callable

TYPE_CHECKING = False  # as `typing` has it, which takes its time to load: so does all that is not imported here
if TYPE_CHECKING:
    from pathlib import Path
    from typing import NoReturn

GREETING = os.fsencode(__file__)  # the program's folder is named after what is in it
NAME = "standby.sock"
LIMIT = 64 * 1024  # of a request, in bytes
PATIENCE = 0.2
Serve = Callable[[bytes], int]


def hand_over(prefix: Path | str, line: bytes) -> int | None:
    """Have the watcher do what the line asks for, and return its status; nothing when that is not for it."""
    app = _rolled_back(line)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as asked:
        asked.settimeout(PATIENCE)
        try:
            if not app:
                return None
            asked.connect(f"{prefix}/var/lib/windlass/{app}/{NAME}")
            if asked.recv(LIMIT) != GREETING:
                return None
        except OSError:
            return None
        asked.settimeout(None)
        try:
            socket.send_fds(asked, [line], [0, 1, 2])
            status = asked.recv(1)
        except OSError:  # it went, or lost patience, before it read the line
            return None
    return status[0] if status else 1


def _rolled_back(line: bytes) -> str:
    """Return the app that the line asks to roll back; whether all of it is well, the watcher finds out."""
    with contextlib.suppress(ValueError):
        request = json.loads(line)
        app = request.get("app") if isinstance(request, dict) and request.get("action") == "rollback" else None
        if isinstance(app, str) and app.replace("-", "").replace("_", "").isalnum() and len(line) < LIMIT:
            return app
    return ""


class Standby:
    """The watcher's end; `serve` does what a line asks for, and is called in a process of its own."""

    def __init__(self, path: Path, serve: Serve) -> None:
        self.path = path
        self.serve = serve
        self.made: os.stat_result | None = None
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with contextlib.suppress(OSError):  # without it the rollback takes longer
            path.unlink(missing_ok=True)
            mask = os.umask(0o177)
            try:
                self.socket.bind(str(path))
            finally:
                os.umask(mask)
            self.socket.listen(1)
            self.made = path.stat()

    def wait(self, seconds: float) -> None:
        """Wait that long, or until somebody asked."""
        self.socket.settimeout(seconds)
        with contextlib.suppress(OSError):
            asked, _ = self.socket.accept()
            with asked:
                self._take(asked)

    def close(self) -> None:
        """Stand by no longer; the next watcher may do so already."""
        self.socket.close()
        with contextlib.suppress(OSError):
            if self.made and os.path.samestat(self.made, self.path.stat()):
                self.path.unlink()

    def _take(self, asked: socket.socket) -> None:
        asked.settimeout(PATIENCE)
        asked.send(GREETING)
        line, handles, _, _ = socket.recv_fds(asked, LIMIT, 3)
        if len(handles) == 3 and os.fork() == 0:
            self._work(asked, line, handles)
        for handle in handles:
            os.close(handle)

    def _work(self, asked: socket.socket, line: bytes, handles: list[int]) -> NoReturn:
        """Be the program that was asked: with its input and output, and with no signals of the watcher's."""
        status = 1
        try:
            self.socket.close()
            for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
                signal.signal(number, signal.SIG_IGN if number == signal.SIGPIPE else signal.SIG_DFL)
            for target, handle in enumerate(handles):
                os.dup2(handle, target)
                os.close(handle)
            sys.stdin = open(0, closefd=False)  # noqa: SIM115 - what the watcher has read is not ours
            status = self.serve(line)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            with contextlib.suppress(OSError):
                asked.send(bytes([status]))
            os._exit(status)
