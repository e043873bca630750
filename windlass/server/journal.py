"""journald's stream socket: what is written there is a line of the log, of the user who connected."""

from __future__ import annotations

import socket
from pathlib import Path

INFO = 6


def connect(path: Path, identifier: str) -> socket.socket | None:
    """Return a stream whose lines journald logs under this name, or None where there is no journald."""
    stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        stream.connect(str(path))
    except OSError:
        stream.close()
        return None
    # sd_journal_stream_fd(3): identifier, unit, priority, level prefix, to syslog, to kmsg, to console
    stream.sendall(f"{identifier}\n\n{INFO}\n0\n1\n0\n0\n".encode())
    stream.shutdown(socket.SHUT_RD)
    return stream
