"""The passwords of databases on another server: that server makes them, and the inventory counts their generations."""

from __future__ import annotations

from pathlib import Path

import yaml

from windlass import inventory, messages
from windlass.secrets import vault

NAME = "database"
KEY = "postgresql_password_generation"
FILE = Path("group_vars") / "all" / "passwords.yml"
TEXT = "# Counted up by fab secrets rotate database, for the database server to renew the passwords.\n{}: {}\n"


def rotate(directory: Path) -> int:
    """Count the generation up in the inventory, in a file of its own, and return the new one."""
    servers = inventory.databases_reached_by_password(directory)
    if not servers:
        raise messages.no_database_password()
    path = directory / FILE
    where = servers[0].where((KEY,)) if KEY in servers[0].raw else ""
    if where and not _is_at(where, path):
        raise messages.generation_elsewhere(where, KEY)
    number = _generation(path) + 1
    vault.replace(path, TEXT.format(KEY, number).encode(), mode=0o644)
    return number


def _generation(path: Path) -> int:
    """Return what the file says; without it, the first."""
    if not path.exists():
        return 1
    try:
        number = yaml.safe_load(path.read_text())[KEY]
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, KeyError):
        number = None
    if not isinstance(number, int):
        raise messages.bad_generation(path, KEY)
    return number


def _is_at(where: str, path: Path) -> bool:
    return Path(where.rpartition(":")[0] or where).absolute() == path.absolute()
