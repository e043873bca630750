"""Sends requests of one kind, and prints what came of each: a list of JSON a line, as `Sample` has it.

    python -m tests.support.load.sender    with what to send as a line of JSON on standard input

It ends when its standard input does, or after the seconds that it was told.
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from tests.support.load.sample import Sample
from tests.support.visitor import Answer, Visitor

RELEASE_HEADER = "X-Release"
SLOW_SECONDS = 0.5
UPLOAD_SECONDS = 2.0
TEXT = "written under load"


@dataclass(frozen=True)
class Kind:
    """What is sent, and how a good answer is known. What nginx answers by itself carries no release."""

    method: str
    path: str
    status: int
    is_good: Callable[[Answer], bool]
    data: Any = None
    seconds: float = 0.0
    by_the_app: bool = True


KINDS = {
    "read": Kind("GET", "/version", 200, lambda answer: answer.json["release"] == answer.headers[RELEASE_HEADER]),
    "page": Kind("GET", "/", 200, lambda answer: answer.body.rstrip().endswith(b"</html>")),
    "asset": Kind("GET", "/static/style.css", 200, lambda answer: len(answer.body) > 100, by_the_app=False),
    "write": Kind(
        "POST",
        "/api/messages",
        201,
        lambda answer: answer.json["text"] == TEXT,
        data={"author": "load", "text": TEXT},
    ),
    "slow": Kind(
        "POST", f"/slow?seconds={SLOW_SECONDS}", 200, lambda answer: answer.json["slept"] == SLOW_SECONDS, data={}
    ),
    # A form that takes its time to come in.
    "upload": Kind(
        "POST",
        "/api/messages",
        201,
        lambda answer: answer.json["author"] == "upload",
        data={"author": "upload", "text": TEXT},
        seconds=UPLOAD_SECONDS,
    ),
}


class Sender:
    """Threads that send one kind again and again."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.visitor = Visitor(order["host"], order["address"], Path(order["ca"]))
        self.tls = ssl.create_default_context(cafile=order["ca"])
        self.name: str = order["kind"]
        self.kind = KINDS[self.name]
        self.pause = float(order["pause"])
        self.end = time.monotonic() + float(order["seconds"])
        self.stop = threading.Event()
        self.writing = threading.Lock()

    def wait_for_the_end(self) -> None:
        """Stop when nobody holds the other end of standard input any more."""
        while os.read(0, 1):
            pass
        self.stop.set()

    def repeat(self, kept: bool) -> None:
        """Send one after the other; a kept connection is opened again when it breaks."""
        connection = self.visitor.connect(self.tls)
        while not self.stop.is_set() and time.monotonic() < self.end:
            sample = self.send(connection, kept)
            with self.writing:
                print(json.dumps(astuple(sample)), flush=True)
            if sample.error or not kept:
                connection.close()
            self.stop.wait(self.pause)
        connection.close()

    def send(self, connection: http.client.HTTPSConnection, kept: bool) -> Sample:
        """Send one request; the moment that counts is the one before its first byte."""
        kind = self.kind
        began = sent = time.time()
        status, release = 0, ""
        try:
            if connection.sock is None:
                connection.connect()
                sent = time.time()
            answer = self.visitor.ask(
                kind.path, method=kind.method, data=kind.data, connection=connection, seconds=kind.seconds
            )
            status, release = answer.status, answer.headers.get(RELEASE_HEADER, "")
            error = self.fault(answer)
        except (OSError, http.client.HTTPException, LookupError, ValueError) as failure:
            error = repr(failure)
        return Sample(self.name, kept, sent - began, sent, time.time(), status, release, error)

    def fault(self, answer: Answer) -> str:
        """Say what is wrong with an answer, or nothing."""
        if answer.status != self.kind.status:
            return f"answered {answer.status}"
        if self.kind.by_the_app and not answer.headers.get(RELEASE_HEADER):
            return "nobody says who answered"
        return "" if self.kind.is_good(answer) else f"a wrong answer: {answer.body[:100]!r}"


def main() -> None:
    """Send until nobody wants it any more; a mistake in here ends it all, with status 1."""
    threading.excepthook = lambda told: (sys.excepthook(*told[:3]), os._exit(1))
    order = json.loads(sys.stdin.buffer.readline())
    sender = Sender(order)
    kept = [True] * order["kept"] + [False] * order["new"]
    threads = [threading.Thread(target=sender.repeat, args=(each,), daemon=True) for each in kept]
    threading.stack_size(256 * 1024)
    for thread in threads:
        thread.start()
    threading.Thread(target=sender.wait_for_the_end, daemon=True).start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
