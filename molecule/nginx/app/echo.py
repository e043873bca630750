"""An app on a unix socket that tells as JSON what reached it, and how many requests and connections came."""

import itertools
import json
import socketserver
import sys
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler
from pathlib import Path

SOCKET = Path(sys.argv[1])
COLOUR = SOCKET.stem
CONNECTIONS = itertools.count(1)
SEEN: Counter[str] = Counter()
OWN_HEADERS = {
    "/own-headers": {
        "Referrer-Policy": "no-referrer",
        "Content-Security-Policy": "default-src https:",
        "Cross-Origin-Opener-Policy": "unsafe-none",
    },
    "/own-frames": {"X-Frame-Options": "SAMEORIGIN"},
    "/own-ancestors": {"Content-Security-Policy": "frame-ancestors https://other.test"},
}


class Handler(BaseHTTPRequestHandler):
    """Answers every request, some in a special way by their path."""

    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        """Count the connection."""
        super().setup()
        self.connection_number = next(CONNECTIONS)

    def address_string(self) -> str:
        """Name the visitor, who has no address on a socket."""
        return "socket"

    def answer(self) -> None:
        """Answer whatever is asked."""
        path = self.path.partition("?")[0]
        SEEN[f"{self.command} {path}"] += 1
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if path == "/dies":
            self.close_connection = True
            return
        if path == "/slow":
            time.sleep(6)
        if self.headers.get("Upgrade") == "websocket":
            self.wfile.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            self.wfile.write(b"you said " + self.rfile.read(5))
            self.close_connection = True
            return
        body = json.dumps(
            {
                "colour": COLOUR,
                "connection": self.connection_number,
                "method": self.command,
                "path": self.path,
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "seen": SEEN,
                "filler": "x" * 2000,
            }
        ).encode()
        self.send_response(404 if path == "/nowhere" else 200)
        self.send_header("Content-Type", "application/json")
        for name, value in OWN_HEADERS.get(path, {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = answer  # noqa: N815


class Server(socketserver.ThreadingUnixStreamServer):
    """One thread for each request."""

    daemon_threads = True


SOCKET.unlink(missing_ok=True)
with Server(str(SOCKET), Handler) as server:
    SOCKET.chmod(0o777)
    server.serve_forever()
