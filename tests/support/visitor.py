"""A visitor of a site: HTTPS to one address, under the site's name, trusting one CA."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TIMEOUT_SECONDS = 20
PART_SECONDS = 0.1


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


class _Connection(http.client.HTTPSConnection):
    """HTTPS whose name for TLS is the site's, whatever address is connected to."""

    def __init__(self, host: str, address: str, port: int, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=TIMEOUT_SECONDS, context=context)
        self._address = address
        self._tls = context

    def connect(self) -> None:
        plain = socket.create_connection((self._address, self.port), TIMEOUT_SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)


def _in_parts(body: bytes, seconds: float) -> Iterator[bytes]:
    """Give a body in parts that take so many seconds together."""
    parts = min(len(body), 1 + round(seconds / PART_SECONDS))
    for number in range(parts):
        time.sleep(seconds / parts)
        yield body[number * len(body) // parts : (number + 1) * len(body) // parts]


@dataclass(frozen=True)
class Visitor:
    """Somebody who knows a site by name, and reaches it at an address (IPv4 or IPv6)."""

    host: str
    address: str
    ca: Path

    def connect(self, tls: ssl.SSLContext | None = None) -> http.client.HTTPSConnection:
        """Return a connection that is not yet open; it may be kept for several requests."""
        tls = tls or ssl.create_default_context(cafile=str(self.ca))
        return _Connection(self.host, self.address, 443, tls)

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        data: Any = None,
        connection: http.client.HTTPSConnection | None = None,
        seconds: float = 0.0,
    ) -> Answer:
        """Send one request and return the answer; `data` is sent as JSON, and takes so many seconds on its way.

        Raises OSError, http.client.HTTPException: nothing, or nothing whole, came back.
        """
        used = connection or self.connect()
        body = None if data is None else json.dumps(data).encode()
        headers = {} if body is None else {"Content-Type": "application/json", "Content-Length": str(len(body))}
        try:
            used.request(method, path, body if body is None else _in_parts(body, seconds), headers)
            response = used.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            if connection is None:
                used.close()

    def ask_without_tls(self, path: str) -> Answer:
        """Send one request to port 80, and follow nothing."""
        plain = http.client.HTTPConnection(self.address, 80, timeout=TIMEOUT_SECONDS)
        try:
            plain.request("GET", path, headers={"Host": self.host})
            response = plain.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            plain.close()
