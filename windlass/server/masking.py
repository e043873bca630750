"""Secrets that this program has read, kept out of what it passes on: a traceback may hold a database's password."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Mapping

SHOWN = "********"
SHORTEST = 6  # a shorter one would take words out of every sentence
# Before the host, alone where it is a token, or among the words behind it.
URL_PASSWORD = re.compile(
    r"://[^/@\s:]*:([^/@\s]+)@"
    r"|://((?=[^@]*[0-9])(?=[^@]*[A-Za-z])[\w.~%-]{20,})@"
    r"|[?&][\w-]*(?:pass\w*|pwd|secret|token|key)=([^&#\s]+)",
    re.IGNORECASE,
)
SECRET_NAME = re.compile(
    r"SECRET|PASSW|PASSPHRASE|TOKEN|CREDENTIAL|PRIVATE|WEBHOOK|SALT|DSN|(^|_)(KEYS?|PASS|PW|FALLBACKS)(_|$)",
    re.IGNORECASE,
)
# What is long, one word and of letters and digits was made by a machine; but for the names of modules and hosts.
RANDOM = re.compile(r"(?!([a-z][a-z0-9_-]{0,18}\.)+[a-z][a-z0-9_-]{0,18}$)(?=.*[A-Za-z])(?=.*[0-9])[\w+/=.~-]{20,}")
# What these keys of an event hold is read by programs, and is none of the app's words.
_NAMES = """
action app at by code colour commit event finished key name names ok phase previous process
release revision since size started state status stream switched table version
"""
NAMES = frozenset(_NAMES.split())
_known: set[str] = set()


def learn(values: Mapping[str, str]) -> None:
    """Remember the secrets among an app's settings: by their names, by their looks, and the passwords in URLs."""
    for name, value in values.items():
        if SECRET_NAME.search(name):
            _add([value, *(value.split() if name.endswith("FALLBACKS") else value.splitlines())])
        elif RANDOM.fullmatch(value) and not value.startswith(("/", ".")):
            _add([value])
        if passwords := ["".join(found) for found in URL_PASSWORD.findall(value)] if "://" in value else []:
            from urllib.parse import unquote  # slow to import, for every process that is launched

            _add([*passwords, *map(unquote, passwords)])


def _add(secrets: Iterable[str]) -> None:
    for secret in secrets:
        if len(secret) >= SHORTEST:
            # As it is, and as a traceback or JSON writes it.
            _known.update({secret, repr(secret)[1:-1], json.dumps(secret)[1:-1]})
    _pattern.cache_clear()


@functools.cache
def _pattern() -> re.Pattern[str] | None:
    longest_first = sorted(_known, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


def masked(text: str) -> str:
    """Return a text with stars in the place of each secret that is known by now."""
    pattern = _pattern()
    return pattern.sub(SHOWN, text) if pattern else text


def hidden(value: object) -> object:
    """Return an event, or a part of one, with its texts masked."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {key: item if key in NAMES and isinstance(item, str) else hidden(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [hidden(item) for item in value]
    return value
