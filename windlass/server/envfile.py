"""The app's settings file: `KEY='value'` lines that python-dotenv reads the same way."""

from __future__ import annotations

import re

from windlass import messages

KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ENTRY = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)='((?:[^'\\]|\\.)*)'[ \t]*(?:\n|\Z)", re.DOTALL)
BLANK = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
ESCAPE = re.compile(r"\\([\\'])")


def parse(text: str) -> dict[str, str]:
    """Return the values as they were written; a line that is no entry raises `Failure`."""
    values: dict[str, str] = {}
    position = 0
    while position < len(text):
        if blank := BLANK.match(text, position):
            position = blank.end()
        elif entry := ENTRY.match(text, position):
            values[entry[1]] = ESCAPE.sub(r"\1", entry[2])
            position = entry.end()
        else:
            line = text.count("\n", 0, position) + 1
            raise messages.env_file_damaged(line)
    return values


def render(values: dict[str, str]) -> str:
    """Return the file that `parse` reads back as `values`."""
    for key, value in values.items():
        if not KEY.fullmatch(key) or "\0" in value:
            raise ValueError(f"{key!r} cannot be an environment variable")
    quoted = ((key, value.replace("\\", "\\\\").replace("'", "\\'")) for key, value in values.items())
    return "".join(f"{key}='{value}'\n" for key, value in quoted)
