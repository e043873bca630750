"""What one mapping of names has more, less or otherwise than another: packages, processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """Values by name; of what changed, the old one and the new one."""

    added: dict[str, str]
    removed: dict[str, str]
    changed: dict[str, tuple[str, str]]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


def between(old: Mapping[str, str], new: Mapping[str, str]) -> Difference:
    """Compare two mappings; names in alphabetical order."""
    both = sorted(old.keys() & new.keys())
    return Difference(
        {name: new[name] for name in sorted(new.keys() - old.keys())},
        {name: old[name] for name in sorted(old.keys() - new.keys())},
        {name: (old[name], new[name]) for name in both if old[name] != new[name]},
    )
