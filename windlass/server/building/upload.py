"""The archive comes in: exactly as many bytes as announced, with the announced digest."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

from windlass import messages
from windlass.server.protocol import Request

CHUNK = 256 * 1024


def receive(stream: BinaryIO, request: Request, path: Path) -> None:
    """Write the archive to `path`; raise `Failure` when it ends early or is not what was announced."""
    digest = hashlib.sha256()
    left = request.size
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb", buffering=0) as file:
        while left:
            data = stream.read(min(left, CHUNK))
            if not data:
                raise messages.upload_cut()
            digest.update(data)
            left -= len(data)
            _write(file.fileno(), data)
    if digest.hexdigest() != request.sha256:
        raise messages.upload_damaged()


def _write(handle: int, data: bytes) -> None:
    try:
        while data:
            data = data[os.write(handle, data) :]
    except OSError as error:
        raise messages.upload_not_stored(error.strerror or str(error)) from error
