"""A visitor: asks a server from another machine, by its address and a name of one of its apps."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

SECONDS = 10
Ask = Callable[..., "Answer"]


@dataclass(frozen=True)
class Answer:
    """What came back: status, headers by lower-case name, body, and the certificate (DER) it came under."""

    status: int
    headers: dict[str, str]
    body: bytes
    certificate: bytes = b""
    times: dict[str, int] | None = None

    def json(self) -> Any:
        """Return the body, read as JSON."""
        return json.loads(self.body)


def apps(inventory: Path) -> list[dict[str, Any]]:
    """Return the apps as the inventory has them."""
    return list(yaml.safe_load((inventory / "group_vars" / "all" / "main.yml").read_text())["apps"])


def trust(inventory: Path) -> ssl.SSLContext:
    """Return what this visitor trusts: the test CA where the scenario has one, else anything."""
    authority = inventory / "ca.pem"
    if authority.exists():
        return ssl.create_default_context(cafile=str(authority))
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def connect(address: str, name: str, context: ssl.SSLContext) -> ssl.SSLSocket:
    """Open a TLS connection to an address and ask for a name."""
    return context.wrap_socket(socket.create_connection((address, 443), SECONDS), server_hostname=name)


def read(connection: http.client.HTTPConnection, method: str, path: str, **request: Any) -> Answer:
    """Send a request over a connection and read all of the answer."""
    connection.request(method, path, **request)
    response = connection.getresponse()
    body = response.read()
    times: dict[str, int] = {}
    for header, _ in response.getheaders():
        times[header.lower()] = times.get(header.lower(), 0) + 1
    certificate = b""
    if isinstance(connection.sock, ssl.SSLSocket):
        certificate = connection.sock.getpeercert(binary_form=True) or b""
    headers = {header.lower(): value for header, value in response.getheaders()}
    return Answer(response.status, headers, body, certificate, times)


def by_http(address: str, name: str, path: str = "/", method: str = "GET", **request: Any) -> Answer:
    """Ask by HTTP."""
    connection = http.client.HTTPConnection(address, 80, timeout=SECONDS)
    headers = {"Host": name, "Connection": "close", **request.pop("headers", {})}
    return read(connection, method, path, headers=headers, **request)


def by_https(
    address: str, name: str, context: ssl.SSLContext, path: str = "/", method: str = "GET", **request: Any
) -> Answer:
    """Ask by HTTPS."""
    connection = http.client.HTTPSConnection(name, timeout=SECONDS)
    connection.sock = connect(address, name, context)
    headers = {"Connection": "close", **request.pop("headers", {})}
    return read(connection, method, path, headers=headers, **request)
