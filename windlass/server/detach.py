"""Work that goes on when the client's connection dies: in its own session, its events in memory."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from windlass import messages
from windlass.server import masking
from windlass.server.errors import Failure
from windlass.server.protocol import Events

POLL = 0.01
CANCEL = b"cancel"  # what a client may still say while the work is done
BEFORE_THE_SWITCH = ("", "check", "upload", "build", "snapshot", "release", "start", "probe")
Work = Callable[[Events], dict[str, object]]


@dataclass(frozen=True)
class Detached:
    """What is done when the client may be gone.

    `later` goes on when the result has been told. `let_go` gives up in this process what the other one has to hold
    alone. `mend` is done here when the other one was killed. `has_switched` says whether visitors have another
    release than before.
    """

    work: Work
    later: Callable[[], None]
    let_go: Callable[[], None]
    mend: Callable[[], None]
    has_switched: Callable[[], bool]


def guarded(work: Work, events: Events, has_switched: Callable[[], bool]) -> bool:
    """Do the work and end with its result, whatever happens; say whether it went well."""
    try:
        events.result(work(events))
        return True
    except Exception as error:
        if not isinstance(error, Failure):
            print(masking.masked(traceback.format_exc()), file=sys.stderr, flush=True)
        failure = _as_failure(error)
        failure.phase = failure.phase or events.phase_name
        failure.switched = failure.switched or has_switched()
        events.send(failure.as_result())
    return False


def _as_failure(error: Exception) -> Failure:
    if isinstance(error, Failure):
        return error
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return messages.disk_full(str(error.filename or "the disk"))
    return messages.unexpected(error)


class Kept(Events):
    """Events in memory, and in a file for whoever looks later, as long as there is room for it."""

    def __init__(self, handle: int, path: Path) -> None:
        super().__init__(handle)
        self.copy: int | None = None
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
            self.copy = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)

    def send(self, event: dict[str, object]) -> None:
        """Write one event, whole."""
        super().send(event)
        if self.copy is not None:
            with contextlib.suppress(OSError):
                os.write(self.copy, json.dumps(masking.hidden(event)).encode() + b"\n")


def run(job: Detached, errors: Path, out: Events) -> bool:
    """Do the work in a process of its own and pass its events on, for as long as somebody listens.

    The events lie in memory: a full disk keeps nobody from being told of it.
    """
    handle = os.memfd_create("windlass-events")
    sys.stdout.flush()
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    pid = os.fork()
    if pid == 0:
        _work(job, handle, errors)
    job.let_go()
    try:
        return _relay(pid, handle, out, job)
    finally:
        os.close(handle)


def _work(job: Detached, handle: int, errors: Path) -> NoReturn:
    status = 1
    try:
        os.setsid()
        for number in (signal.SIGHUP, signal.SIGPIPE, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, _interrupted)
        _redirect(errors)
        events = Kept(handle, errors.with_name("events.jsonl"))
        signal.signal(signal.SIGUSR1, lambda *_: _cancel(events))
        status = 0 if guarded(job.work, events, job.has_switched) else 1
        if status == 0:
            job.later()
    except Failure as failure:
        print(masking.masked(str(failure)), file=sys.stderr, flush=True)
    except Exception:
        print(masking.masked(traceback.format_exc()), file=sys.stderr, flush=True)
    finally:
        os._exit(status)


def _redirect(errors: Path) -> None:
    """Let go of the client, whose channel would stay open; what is unexpected goes to a file."""
    null = os.open(os.devnull, os.O_RDWR)
    said = null
    with contextlib.suppress(OSError):
        said = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for target, source in ((0, null), (1, said), (2, said)):
        os.dup2(source, target)


def _interrupted(_number: int, _frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise messages.shutting_down()


def _cancel(events: Events) -> None:
    """Take the work back, unless visitors have the new release or are about to."""
    if events.phase_name in BEFORE_THE_SWITCH:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        raise messages.cancelled()


def _wants_it_back() -> bool:
    """Whether the client has said so; it says nothing else."""
    return CANCEL in (sys.stdin.buffer.read(len(CANCEL) + 1) or b"")


def _relay(pid: int, handle: int, out: Events, job: Detached) -> bool:
    """Pass on what is told until the result, or until the worker has ended; say how it went.

    A client that went away is not missed: should the worker be killed, its work is mended all the same.
    """
    ended = False
    gone = False
    rest = b""
    place = 0
    os.set_blocking(sys.stdin.fileno(), False)
    while True:
        data = os.pread(handle, 1 << 20, place)
        place += len(data)
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            gone = gone or not _write(out.handle, line + b"\n")
            if b'"event": "result"' in line:
                return bool(json.loads(line)["ok"]) and not gone
        if ended and not data:
            break
        if not ended:
            ended = bool(os.waitpid(pid, os.WNOHANG)[0])
            if not ended and _wants_it_back():
                os.kill(pid, signal.SIGUSR1)
            time.sleep(0 if ended else POLL)
    failure = messages.program_ended()
    with contextlib.suppress(Failure, OSError):  # the next one sweeps
        job.mend()
    failure.switched = job.has_switched()
    out.send(failure.as_result())
    return False


def _write(handle: int, data: bytes) -> bool:
    try:
        while data:
            data = data[os.write(handle, data) :]
    except OSError:
        return False
    return True
