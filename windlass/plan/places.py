"""Where the code names a table or a column of the database."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from windlass.plan.sources import Code
from windlass.plan.statements import Thing

KEPT = 3


def find(code: Code, thing: Thing) -> list[str]:
    """Return FILE:LINE of where the code names a thing: first where models define it, then where it is used.

    An ORM's model need not be named like its table, nor a foreign key like its column: `author_id` is also looked
    for as `author`, the table `blog_post` also as the class `Post` or `BlogPost`.
    """
    words = _words(thing)
    defined: list[str] = []
    used: list[str] = []
    for name, tree in code.app_trees.items():
        lines = set(_definitions(tree, words, thing))
        defined += [f"{name}:{line}" for line in sorted(lines)]
        used += [f"{name}:{line}" for line in sorted(set(_uses(tree, words)) - lines)]
    if not defined and not used:
        used = list(_in_templates(code, words))
    return [*defined, *used][:KEPT]


def _words(thing: Thing) -> set[str]:
    words = {thing.name}
    if thing.kind == "column" and thing.name.endswith("_id") and thing.name != "_id":
        words.add(thing.name.removesuffix("_id"))
    return words


def _definitions(tree: ast.Module, words: set[str], thing: Thing) -> Iterator[int]:
    """Give the lines of the classes, or of the attributes of classes, that stand for the thing."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef):
            continue
        if thing.kind in ("table", "view") and node.name.lower() in _class_names(thing.name) and node.bases:
            yield node.lineno
        for item in node.body if thing.kind == "column" else ():
            targets = item.targets if isinstance(item, ast.Assign) else [getattr(item, "target", None)]
            if any(isinstance(target, ast.Name) and target.id in words for target in targets):
                yield item.lineno


def _class_names(table: str) -> set[str]:
    parts = table.lower().split("_")
    return {"".join(parts[start:]) for start in range(min(2, len(parts)))}


def _uses(tree: ast.Module, words: set[str]) -> Iterator[int]:
    """Give the lines with an attribute, a keyword or a text of that name."""
    whole = re.compile(rf"\b(?:{'|'.join(map(re.escape, sorted(words)))})\b")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in words:
            yield node.end_lineno or node.lineno
        if isinstance(node, ast.keyword) and node.arg in words:
            yield node.lineno
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _is_named(node.value, words, whole):
            yield node.lineno


def _is_named(text: str, words: set[str], whole: re.Pattern[str]) -> bool:
    """Say whether a text is the name, as in a list of fields, or SQL with the name in it."""
    is_sql = re.match(r"\s*(?:select|insert|update|delete|with)\b", text, re.IGNORECASE)
    return text in words or text.lstrip("-").split("__")[0] in words or bool(is_sql and whole.search(text))


def _in_templates(code: Code, words: set[str]) -> Iterator[str]:
    pattern = re.compile(rf"\.(?:{'|'.join(map(re.escape, sorted(words)))})\b")
    for name, text in code.templates.items():
        for number, line in enumerate(text.splitlines(), 1):
            if pattern.search(line):
                yield f"{name}:{number}"
