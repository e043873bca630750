"""The passwords of databases on another server: that server makes them, and the inventory counts their generations."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from windlass import inventory, messages
from windlass.secrets import vault

NAME = "database"
KEY = "postgresql_password_generation"
FILE = Path("group_vars") / "all" / "passwords.yml"
HEAD = "# Counted up by fab secrets rotate database, for the database server to renew the passwords."


def rotate(directory: Path) -> int:
    """Count the generation up in the inventory, in a file of its own, and return the new one."""
    servers = inventory.databases_reached_by_password(directory)
    if not servers:
        raise messages.no_database_password()
    path = directory / FILE
    inventory.refuse_hidden(directory, [path.parent])
    for server in servers:
        if KEY in server.raw and not _is_at(where := server.where((KEY,)), path):
            raise messages.generation_elsewhere(where, KEY)
    number = _generation(path) + 1
    vault.replace(path, _counted(path, number).encode(), mode=0o644)
    return number


def _counted(path: Path, number: int) -> str:
    """Return the file's text with the count in it; every other line is its owner's."""
    line = f"{KEY}: {number}"
    if not path.exists():
        return f"{HEAD}\n{line}\n"
    text = path.read_text()
    changed, count = re.subn(rf"^{KEY}:.*$", line, text, count=1, flags=re.MULTILINE)
    return changed if count else f"{text.rstrip()}\n{line}\n"


def _generation(path: Path) -> int:
    """Return what the file says; without it, the first."""
    if not path.exists():
        return 1
    try:
        number = (yaml.safe_load(path.read_text()) or {}).get(KEY, 1)
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError):
        number = None
    if not isinstance(number, int):
        raise messages.bad_generation(path, KEY)
    return number


def _is_at(where: str, path: Path) -> bool:
    return Path(where.rpartition(":")[0] or where).absolute() == path.absolute()
