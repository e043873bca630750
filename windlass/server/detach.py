"""Work that goes on when the client's connection dies: in its own session, telling a file."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from windlass.server.errors import Failure
from windlass.server.protocol import Events

POLL = 0.02
Work = Callable[[Events], dict[str, object]]


def guarded(work: Work, events: Events) -> bool:
    """Do the work and end with its result, whatever happens; say whether it went well."""
    try:
        events.result(work(events))
        return True
    except Failure as failure:
        failure.phase = failure.phase or events.phase_name
        events.send(failure.as_result())
    except Exception as error:
        traceback.print_exc()
        broken = Failure("internal", f"the release program failed: {type(error).__name__}: {error}")
        broken.phase = events.phase_name
        events.send(broken.as_result())
    return False


def run(work: Work, path: Path, out: Events, let_go: Callable[[], None]) -> bool:
    """Do the work in a process of its own and pass its events on, for as long as somebody listens.

    `let_go` gives up in this process what the other one has to hold alone.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        _work(work, handle, path.with_suffix(".err"))
    os.close(handle)
    let_go()
    return _relay(pid, path, out)


def _work(work: Work, handle: int, errors: Path) -> NoReturn:
    status = 1
    try:
        os.setsid()
        for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, _interrupted)
        null = os.open(os.devnull, os.O_RDWR)
        said = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for target, source in ((0, null), (1, said), (2, said)):
            os.dup2(source, target)
        status = 0 if guarded(work, Events(handle)) else 1
    finally:
        os._exit(status)


def _interrupted(_number: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Failure("interrupted", "the server is shutting down, or somebody ended the deploy")


def _relay(pid: int, path: Path, out: Events) -> bool:
    """Pass on what the file gains until the worker has ended; say how."""
    ended: int | None = None
    said_result = False
    rest = b""
    with path.open("rb", buffering=0) as file:
        while True:
            *lines, rest = (rest + file.read()).split(b"\n")
            for line in lines:
                said_result = b'"event": "result"' in line or said_result
                _write(out.handle, line + b"\n")
            if ended is not None and not lines:
                break
            if ended is None:
                done, status = os.waitpid(pid, os.WNOHANG)
                ended = status if done else None
                time.sleep(0 if done else POLL)
    if not said_result:
        failure = Failure("interrupted", "the release program ended before its work was done")
        out.send(failure.as_result())
    return ended == 0


def _write(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]
