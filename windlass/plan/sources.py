"""The app's own code in an archive: what a release runs, without its tests, tools and packages."""

from __future__ import annotations

import ast
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath
from typing import IO

SKIPPED = frozenset(
    {".git", ".github", ".tox", ".venv", "docs", "env", "node_modules", "site-packages", "test", "tests", "venv"}
)
TEXTS = frozenset({".html", ".j2", ".jinja", ".jinja2", ".sql", ".txt"})
LIMIT = 1_000_000


@dataclass
class Code:
    """The files of an app, by their path from the folder that the entry names; and the example settings files."""

    python: dict[str, str] = field(default_factory=dict)
    templates: dict[str, str] = field(default_factory=dict)
    examples: dict[str, str] = field(default_factory=dict)

    @cached_property
    def trees(self) -> dict[str, ast.Module]:
        """The Python files, parsed; one that this Python cannot parse is left out."""
        return {name: tree for name, text in self.python.items() if (tree := _tree(text))}

    @cached_property
    def app_trees(self) -> dict[str, ast.Module]:
        """The same without migrations."""
        return {name: tree for name, tree in self.trees.items() if not is_migration(name)}


def is_migration(name: str) -> bool:
    """Say whether a file belongs to Alembic's or Django's migrations."""
    return bool({"migrations", "alembic", "versions"} & set(PurePosixPath(name).parts[:-1]))


def _tree(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return None


def read(file: IO[bytes], directory: str) -> Code:
    """Read the code from an archive (tar.gz) of a commit; `directory` is the app's folder in it."""
    code = Code()
    file.seek(0)
    with tarfile.open(fileobj=file, mode="r:gz") as archive:
        for name, member in _members(archive, directory):
            kind = _kind(PurePosixPath(name))
            content = archive.extractfile(member) if kind else None
            if content:
                getattr(code, kind)[name] = content.read().decode(errors="replace")
    file.seek(0)
    return code


def _members(archive: tarfile.TarFile, directory: str) -> Iterator[tuple[str, tarfile.TarInfo]]:
    top = PurePosixPath(directory)
    for member in archive:
        path = PurePosixPath(member.name)
        if member.isfile() and member.size <= LIMIT and path.is_relative_to(top):
            yield str(path.relative_to(top)), member


def _kind(path: PurePosixPath) -> str:
    """Return which of the fields of `Code` a file belongs to; nothing for most."""
    if SKIPPED & set(path.parts[:-1]):
        return ""
    if path.suffix == ".py":
        is_test = path.name.startswith("test_") or path.stem.endswith("_test") or path.name == "conftest.py"
        return "" if is_test else "python"
    words = set(path.name.lower().replace("_", ".").replace("-", ".").split("."))
    if "env" in words and words & {"example", "sample", "dist", "template", "default", "defaults"}:
        return "examples" if len(path.parts) == 1 else ""
    return "templates" if path.suffix in TEXTS else ""
