"""Checks of what an app's entry says about its front: headers, policy, limits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from windlass import messages

_DIRECTIVES = """
base-uri child-src connect-src default-src fenced-frame-src font-src form-action frame-ancestors frame-src img-src
manifest-src media-src object-src report-to report-uri require-trusted-types-for sandbox script-src script-src-attr
script-src-elem style-src style-src-attr style-src-elem trusted-types upgrade-insecure-requests worker-src
"""
DIRECTIVES = frozenset(_DIRECTIVES.split())
# A dollar sign would begin a variable of nginx.
HEADER = re.compile(r"[\x20-\x23\x25-\x5b\x5d-\x7e]*")
BARE = re.compile(
    r"(?<!['\w-])(self|none|unsafe-inline|unsafe-eval|strict-dynamic|(?:nonce|sha256|sha384|sha512)-\S+)(?![\w'.:/-])"
)
MOST = {"connections": 100_000, "requests": 100_000, "burst": 1_000_000}
LONGEST = 3600

Finding = tuple[tuple[Any, ...], str]


def entry(app: dict[str, Any]) -> Iterator[Finding]:
    """Give the mistakes of one entry: the path of the key, and what is wrong with it."""
    for name, value in (app.get("headers") or {}).items():
        if value is not None and not HEADER.fullmatch(value):
            yield (
                ("headers", name),
                "holds a character that a header cannot hold; write printable ASCII without $ and \\",
            )
    if app.get("content_security_policy") and "Content-Security-Policy" in (app.get("headers") or {}):
        yield (
            ("content_security_policy",),
            "is not looked at beside headers.Content-Security-Policy; delete one of them",
        )
    for name, sources in (app.get("content_security_policy") or {}).items():
        if message := _bad_directive(name, sources):
            yield ("content_security_policy", name), message
    yield from _limits(app)


def _bad_directive(name: Any, sources: Any) -> str:
    """Return what is wrong with a directive and its sources, or nothing."""
    if name not in DIRECTIVES:
        return f"unknown; {messages.did_you_mean(str(name), DIRECTIVES)}"
    if not isinstance(sources, str):
        return "must be text; write the sources in double quotes, such as \"'self' https://cdn.example.com\""
    if ";" in sources or "," in sources or not HEADER.fullmatch(sources):
        return "holds a character that sources cannot hold; write them with a blank between two"
    if bare := BARE.search(sources):
        return f"{bare[1]} stands there without its quotes, as if it were a host; write \"'{bare[1]}'\""
    return ""


def _limits(app: dict[str, Any]) -> Iterator[Finding]:
    for name, value in (app.get("limits") or {}).items():
        least = 1 if name in ("body_timeout", "send_timeout") else 0
        if value is not None and not least <= value <= MOST.get(name, LONGEST):
            yield ("limits", name), f"{value} will not do; write {least} to {MOST.get(name, LONGEST)}"
