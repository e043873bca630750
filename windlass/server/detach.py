"""Work that goes on when the client's connection dies: in its own session, telling a file."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import NoReturn

from windlass import messages
from windlass.server.errors import Failure
from windlass.server.protocol import Events

POLL = 0.02
Work = Callable[[Events], dict[str, object]]
Has = Callable[[], bool]


def guarded(work: Work, events: Events, has_switched: Has) -> bool:
    """Do the work and end with its result, whatever happens; say whether it went well."""
    try:
        events.result(work(events))
        return True
    except Exception as error:
        if not isinstance(error, Failure):
            traceback.print_exc()
        failure = error if isinstance(error, Failure) else messages.unexpected(error)
        failure.phase = failure.phase or events.phase_name
        failure.switched = failure.switched or has_switched()
        events.send(failure.as_result())
    return False


def run(work: Work, path: Path, out: Events, let_go: Callable[[], None], has_switched: Has) -> bool:
    """Do the work in a process of its own and pass its events on, for as long as somebody listens.

    `let_go` gives up in this process what the other one has to hold alone; `has_switched` says whether visitors
    have another release than before. The file is a new one: a slow reader of the last work still has the old.
    """
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    with path.open("rb", buffering=0) as file:
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            _work(work, handle, path.with_suffix(".err"), has_switched)
        os.close(handle)
        let_go()
        return _relay(pid, file, out, has_switched)


def _work(work: Work, handle: int, errors: Path, has_switched: Has) -> NoReturn:
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
        status = 0 if guarded(work, Events(handle), has_switched) else 1
    finally:
        os._exit(status)


def _interrupted(_number: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise messages.shutting_down()


def _relay(pid: int, file: FileIO, out: Events, has_switched: Has) -> bool:
    """Pass on what the file gains until the worker has ended; say how."""
    ended: int | None = None
    said_result = False
    rest = b""
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
        failure = messages.program_ended()
        failure.switched = has_switched()
        out.send(failure.as_result())
    return ended == 0 and said_result


def _write(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]
