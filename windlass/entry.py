"""An app's entry as the server's release program is told it, and what of it the server has otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from windlass.server.settings import fingerprints

# Secrets (a URL may hold one), and what the web server reads: a change there is no reason to start the app again.
NOT_FOR_THE_PROGRAM = {
    "certificate",
    "content_security_policy",
    "cron",
    "deploy_keys",
    "env",
    "headers",
    "limits",
    "maintenance_allow",
    "max_body_size",
    "notify",
    "packages",
    "repository",
    "static",
    "version",
}


def told(entry: Mapping[str, Any], options: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return an entry of `apps` as the release program reads it: complete, without its secrets."""
    settings = {name: entry.get(name, option.get("default")) for name, option in options.items()}
    if "hooks" in settings:
        settings["hooks"] = (settings["hooks"] or {}).get("server") or {}
    return {name: value for name, value in settings.items() if name not in NOT_FOR_THE_PROGRAM}


def differing(entry: Mapping[str, Any], env: Iterable[str], event: Mapping[str, Any]) -> list[str]:
    """Return the keys that a server has otherwise, by its event `entry`, and the names of `env` that it lacks.

    What only one side knows is of another version of Windlass. Further names in the settings file are the template's.
    """
    there, names = event.get("keys") or {}, event.get("env")
    keys = [key for key, mark in fingerprints(entry).items() if key in there and there[key] != mark]
    return keys + [f"env.{name}" for name in env if names is not None and name not in names]
