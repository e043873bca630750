"""What the authors of migrations say of them: the file of each, and the first line of its docstring."""

from __future__ import annotations

import ast
from pathlib import PurePosixPath

from windlass.plan.sources import Code, is_migration


def of(code: Code) -> dict[str, tuple[str, str]]:
    """Return title and file by migration: Alembic's revision, or Django's APP.NAME."""
    found = {}
    for name, tree in code.trees.items():
        revision = _revision(tree)
        path = PurePosixPath(name)
        if revision:
            lines = (ast.get_docstring(tree) or "").splitlines()
            found[revision] = (lines[0].strip() if lines else "", name)
        elif is_migration(name) and path.parent.name == "migrations":
            found[f"{path.parent.parent.name}.{path.stem}"] = ("", name)
    return found


def _revision(tree: ast.Module) -> str:
    """Return what an Alembic migration calls itself."""
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        value = getattr(node, "value", None)
        if names == ["revision"] and isinstance(value, ast.Constant) and isinstance(value.value, str):
            return value.value
    return ""
