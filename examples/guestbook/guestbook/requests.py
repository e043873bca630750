"""What happens around every request: it is counted, and its response gets headers."""

from flask import Flask, Response, request

from .heartbeat import Meter

POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def init_app(app: Flask) -> None:
    """Count requests, add the security headers, and say which release answers."""
    meter = app.extensions["meter"] = Meter()

    @app.before_request
    def start() -> None:
        meter.count()

    @app.after_request
    def finish(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        if request.blueprint in {"api", "ops", "tests"}:
            response.headers.setdefault("Cache-Control", "no-store")
        response.headers["X-Release"] = app.config["RELEASE"]
        meter.beat("web")
        return response
