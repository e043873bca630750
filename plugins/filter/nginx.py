"""What nginx's configuration needs beyond one ``if`` or ``for``."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from typing import Any

POLICY = "Content-Security-Policy"
FRAMES = "X-Frame-Options"


def nginx_static(app: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the folders of an app that nginx serves: URL prefix, place, and the app's folders it is looked for in.

    What is shared is served from where it lies, never through the release's link to it: who owns neither the link
    nor what it leads to could be anybody. So it has an entry of its own where it lies below a served folder.
    """
    directory = app.get("directory") or "."
    shared = [posixpath.normpath(posixpath.join(directory, place)) for place in app.get("shared") or []]
    served = {
        re.sub("/+", "/", f"/{prefix}/"): posixpath.normpath(posixpath.join(directory, folder))
        for prefix, folder in (app.get("static") or {}).items()
    }
    for prefix, place in list(served.items()):
        for inside in shared:
            if inside.startswith(f"{place}/"):
                served.setdefault(f"{prefix}{posixpath.relpath(inside, place)}/", inside)
    return [{"prefix": prefix, **_source(place, directory, shared)} for prefix, place in served.items()]


def _source(place: str, directory: str, shared: list[str]) -> dict[str, Any]:
    """Return where a place is served from; `shared` names it from the app's folder, a release from its top."""
    if any(f"{place}/".startswith(f"{folder}/") for folder in shared):
        return {"place": posixpath.relpath(place, directory), "tops": ["shared"]}
    return {"place": place, "tops": ["current", "previous"]}


def nginx_policy(directives: dict[str, str]) -> str:
    """Return a Content-Security-Policy as one line."""
    return "; ".join(f"{name} {sources}".strip() for name, sources in directives.items())


def nginx_headers(app: dict[str, Any], policy: dict[str, str]) -> dict[str, str]:
    """Return the headers of an app's answers that are not as for all apps. Nothing as value sends none."""
    headers = {name: value or "" for name, value in (app.get("headers") or {}).items()}
    own: dict[str, str] = app.get("content_security_policy") or {}
    if own and POLICY not in headers:
        headers[POLICY] = nginx_policy({**policy, **own})
    if "frame-ancestors" in headers.get(POLICY, ""):
        headers.setdefault(FRAMES, "")
    return headers


def nginx_text(text: str) -> str:
    """Return a text as nginx's configuration holds it, in double quotes."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class FilterModule:
    """The filters, by name."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return what Ansible registers."""
        return {
            "nginx_headers": nginx_headers,
            "nginx_policy": nginx_policy,
            "nginx_static": nginx_static,
            "nginx_text": nginx_text,
        }
