"""Ask the app whether it is well, as nginx would: on its socket, and later through nginx itself."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from windlass import messages
from windlass.server.settings import Settings

POLL = 0.02
PATIENCE = 10.0
UNAVAILABLE = 503
HEADERS = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "127.0.0.1", "User-Agent": "windlass-probe"}


@dataclass(frozen=True)
class Answer:
    """What came back: a status, or why there is none."""

    status: int = 0
    error: str = ""

    @property
    def good(self) -> bool:
        """2xx or 3xx."""
        return 200 <= self.status < 400

    def __str__(self) -> str:
        return f"answered {self.status}" if self.status else self.error


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class _Front(http.client.HTTPSConnection):
    """TLS to nginx on this machine under the app's own name; whose certificate it is, others check."""

    def __init__(self, address: tuple[str, int], name: str, timeout: float) -> None:
        context = ssl._create_unverified_context()  # noqa: S323
        super().__init__(name, timeout=timeout, context=context)
        self.address, self.name, self.tls = address, name, context

    def connect(self) -> None:
        raw = socket.create_connection(self.address, self.timeout)
        self.sock = self.tls.wrap_socket(raw, server_hostname=self.name, do_handshake_on_connect=False)
        self.sock.do_handshake()


def _ask(connection: http.client.HTTPConnection, settings: Settings, timeout: float) -> Answer:
    """Ask, and give up after `timeout` seconds in all, however the answer drips in."""
    headers = {"Host": settings.domains[0], **HEADERS}
    end = time.monotonic() + timeout
    limit = threading.Timer(timeout, _hang_up, [connection])
    limit.daemon = True
    limit.start()
    try:
        connection.request("GET", settings.health_path, headers=headers)
        status = connection.getresponse().status
        return Answer(status=status) if time.monotonic() < end else Answer(error="never answered")
    except TimeoutError:
        return Answer(error="never answered")
    except (OSError, http.client.HTTPException) as error:
        if time.monotonic() >= end:
            return Answer(error="never answered")
        return Answer(error=f"gave no answer ({error or type(error).__name__})")
    finally:
        limit.cancel()
        connection.close()


def _hang_up(connection: http.client.HTTPConnection) -> None:
    with contextlib.suppress(OSError, AttributeError):
        socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)


def ask_socket(path: Path, settings: Settings, timeout: float) -> Answer:
    """Ask for the health path on the app's socket."""
    return _ask(_Unix(path, timeout), settings, timeout)


def ask_front(settings: Settings, timeout: float) -> Answer:
    """Ask for the health path through nginx."""
    front = settings.front or {}
    address = (str(front.get("address", "127.0.0.1")), int(str(front.get("port", 443))))
    return _ask(_Front(address, settings.domains[0], timeout), settings, timeout)


def wait_until_well(path: Path, settings: Settings, check: Callable[[], None]) -> Answer:
    """Ask until a good answer comes and return it; `check` raises when the process is gone.

    An app that says 503 is given the whole `health_timeout`, any other wrong answer at most 10 s of it,
    ever less often: each may cost its owner a mail.
    """
    start = time.monotonic()
    delay = POLL
    answer = Answer(error="never listened on its socket")
    while (left := start + settings.health_timeout - time.monotonic()) > 0:
        check()
        if path.exists():
            answer = ask_socket(path, settings, left)
        if answer.good:
            return answer
        if answer.status:
            if answer.status != UNAVAILABLE and time.monotonic() - start > PATIENCE:
                break
            delay = min(delay * 2, 2.0)
        time.sleep(min(delay, left))
    check()
    if answer.status:
        raise messages.probe_answered(settings.health_path, answer.status)
    raise messages.probe_silent(str(answer), settings.health_timeout, settings.health_path)
