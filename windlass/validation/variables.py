"""The variables of a host as they are checked, and what a mistake in them looks like."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Names of an inventory that belong to others: Ansible's own, Molecule's, and the owner's free ones.
FREE_PREFIXES = ("ansible_", "vault_", "molecule_")


@dataclass(frozen=True)
class Problem:
    """One mistake: `where` is FILE or FILE:LINE, `key` a path such as apps[0].domains."""

    where: str
    key: str
    message: str

    def __str__(self) -> str:
        """Return it as one line."""
        return f"{self.where}: {self.key}: {self.message}"


Where = Callable[[tuple[Any, ...]], str]
"""Gives FILE:LINE of a value by its path of keys."""


@dataclass(frozen=True)
class Variables:
    """The variables of a host: as written, rendered as far as it is needed here, and where they stand."""

    raw: dict[str, Any]
    rendered: dict[str, Any]
    where: Where
    home: Path  # the file that a missing variable belongs in
    sealed: bool = False  # read without the vault: which names are in it is not known

    def names(self) -> Iterator[str]:
        """Give the names that a role must know."""
        return (str(name) for name in self.raw if not str(name).startswith(FREE_PREFIXES))
