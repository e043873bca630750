"""Which settings the code reads from its environment, found without running it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from windlass.plan.sources import Code

REQUIRED, OPTIONAL, DEFAULT, EXAMPLE = "required", "optional", "default", "example"
RANK = (REQUIRED, OPTIONAL, EXAMPLE, DEFAULT)
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=")
# What calls of an `env` or `config` object name, where it is not their first word.
METHODS = {
    "db": "DATABASE_URL",
    "dj_db_url": "",
    "db_url": "DATABASE_URL",
    "cache": "CACHE_URL",
    "cache_url": "CACHE_URL",
    "email": "EMAIL_URL",
    "email_url": "EMAIL_URL",
    "search_url": "SEARCH_URL",
    "channels": "CHANNELS_URL",
}
NOT_READING = frozenset({"read_env", "prefixed", "seal", "parser_for", "dump", "read_envfile"})
READERS = frozenset({"Env", "FileAwareEnv", "AutoConfig", "Config", "EnvironConfig"})
MODULES = {"environs": {"env"}, "decouple": {"config"}, "environ": set(), "starlette.config": set()}


@dataclass(frozen=True)
class Read:
    """One place where a setting is read. `kind`: required, optional (nothing without it), default, or example."""

    name: str
    kind: str
    place: str


@dataclass
class Setting:
    """A setting, by the place that needs it most."""

    name: str
    kind: str
    places: list[str] = field(default_factory=list)


def lacking(code: Code, there: Iterable[str]) -> list[Setting]:
    """Return the settings that the code or an example file names and the server lacks, the needed ones first."""
    known = set(there) | {name.upper() for name in there}
    found: dict[str, Setting] = {}
    reads = sorted(read(code), key=lambda item: RANK.index(item.kind))
    with_default = {item.name for item in reads if item.kind == DEFAULT}
    for item in reads:
        kind = DEFAULT if item.kind != REQUIRED and item.name in with_default else item.kind
        setting = found.setdefault(item.name, Setting(item.name, kind))
        setting.places.append(item.place)
    return [setting for name, setting in sorted(found.items(), key=_order) if name not in known]


def _order(entry: tuple[str, Setting]) -> tuple[int, str]:
    return RANK.index(entry[1].kind), entry[0]


def read(code: Code) -> list[Read]:
    """Return every place that names a setting."""
    objects = {name for tree in code.trees.values() for name in _env_objects(tree)}
    reads: list[Read] = []
    written: set[str] = set()
    for file, tree in code.app_trees.items():
        scan = _Scan(file, _Names(tree, objects))
        scan.visit(tree)
        reads += scan.reads
        written |= scan.written
    for file, text in code.examples.items():
        for number, line in enumerate(text.splitlines(), 1):
            if match := LINE.match(line):
                reads.append(Read(match[1], EXAMPLE, f"{file}:{number}"))
    # What the code sets by itself is there when it reads it.
    return [item if item.name not in written else Read(item.name, DEFAULT, item.place) for item in reads]


def _env_objects(tree: ast.Module) -> set[str]:
    """Return the names of the `env` and `config` objects that a file makes: other files may import them."""
    libraries = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    libraries |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    if not libraries & MODULES.keys():
        return set()
    made = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and _last(node.value.func) in READERS:
            made |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return made


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


class _Names:
    """What the names of one file stand for."""

    def __init__(self, tree: ast.Module, objects: set[str]) -> None:
        self.os: set[str] = set()
        self.environ: set[str] = set()
        self.getenv: set[str] = set()
        self.env: set[str] = _env_objects(tree)
        self.base_settings = {"BaseSettings"}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self.os |= {name.asname or name.name for name in node.names if name.name == "os"}
            elif isinstance(node, ast.ImportFrom):
                for name in node.names:
                    self._imported(node.module or "", name.name, name.asname or name.name, objects)

    def _imported(self, module: str, name: str, known_as: str, objects: set[str]) -> None:
        if module == "os" and name == "environ":
            self.environ.add(known_as)
        elif module == "os" and name == "getenv":
            self.getenv.add(known_as)
        elif name in MODULES.get(module, ()) or name in objects:
            self.env.add(known_as)
        elif name == "BaseSettings":
            self.base_settings.add(known_as)

    def is_environ(self, node: ast.expr) -> bool:
        """Say whether this is `os.environ`."""
        if isinstance(node, ast.Attribute):
            return node.attr == "environ" and isinstance(node.value, ast.Name) and node.value.id in self.os
        return isinstance(node, ast.Name) and node.id in self.environ

    def is_getenv(self, node: ast.expr) -> bool:
        """Say whether this is `os.getenv`."""
        if isinstance(node, ast.Attribute):
            return node.attr == "getenv" and isinstance(node.value, ast.Name) and node.value.id in self.os
        return isinstance(node, ast.Name) and node.id in self.getenv


class _Scan(ast.NodeVisitor):
    """Goes through one file."""

    def __init__(self, file: str, names: _Names) -> None:
        self.file = file
        self.names = names
        self.reads: list[Read] = []
        self.written: set[str] = set()
        self.guarded = 0  # inside of something that makes do without
        self.prefix = ""

    def _add(self, name: object, kind: str, node: ast.AST) -> None:
        if isinstance(name, str) and NAME.fullmatch(name):
            kind = DEFAULT if self.guarded else kind
            self.reads.append(Read(name, kind, f"{self.file}:{getattr(node, 'lineno', 0)}"))

    def visit_Subscript(self, node: ast.Subscript) -> None:
        """`os.environ["X"]`: read, or set."""
        if self.names.is_environ(node.value) and isinstance(node.slice, ast.Constant):
            if isinstance(node.ctx, ast.Load):
                self._add(node.slice.value, REQUIRED, node)
            else:
                self.written.add(str(node.slice.value))
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        """`"X" in os.environ`: the code does without."""
        if self.names.is_environ(node.comparators[0]) and isinstance(node.left, ast.Constant):
            self._add(node.left.value, DEFAULT, node)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """`... or "value"`: all but the last has something to fall back on."""
        *first, last = node.values
        self.guarded += isinstance(node.op, ast.Or)
        for value in first:
            self.visit(value)
        self.guarded -= isinstance(node.op, ast.Or)
        self.visit(last)

    def visit_Try(self, node: ast.Try) -> None:
        """`except KeyError`: the code does without."""
        caught = {_last(item) for handler in node.handlers if handler.type for item in _types(handler.type)}
        raises = any(isinstance(item, ast.Raise) for handler in node.handlers for item in ast.walk(handler))
        guards = "KeyError" in caught and not raises
        self.guarded += guards
        for item in node.body:
            self.visit(item)
        self.guarded -= guards
        for rest in (*node.handlers, *node.orelse, *node.finalbody):
            self.visit(rest)

    def visit_With(self, node: ast.With) -> None:
        """`with env.prefixed("X_")`."""
        before = self.prefix
        for item in node.items:
            call = item.context_expr
            if isinstance(call, ast.Call) and _last(call.func) == "prefixed" and (text := _text(call)):
                self.prefix += text
        self.generic_visit(node)
        self.prefix = before

    def visit_Call(self, node: ast.Call) -> None:
        """`os.environ.get("X")`, `os.getenv("X")`, `env("X")`, `env.int("X")`, `config("X")`."""
        function = node.func
        if isinstance(function, ast.Attribute) and self.names.is_environ(function.value):
            if function.attr == "get":
                self._add(_text(node), DEFAULT if _has_default(node) else OPTIONAL, node)
            elif function.attr in ("setdefault", "pop"):
                self.written.update(filter(None, [_text(node)]))
        elif self.names.is_getenv(function):
            self._add(_text(node), DEFAULT if _has_default(node) else OPTIONAL, node)
        else:
            self._env_call(node, function)
        self.generic_visit(node)

    def _env_call(self, node: ast.Call, function: ast.expr) -> None:
        method = ""
        if _last(function) in READERS:  # Env(DEBUG=(bool, False)) of django-environ
            self.written.update(
                word.arg
                for word in node.keywords
                if word.arg and isinstance(word.value, ast.Tuple) and word.value.elts[1:]
            )
        if isinstance(function, ast.Attribute):
            method, function = function.attr, function.value
        if isinstance(function, ast.Name) and function.id in self.names.env and method not in NOT_READING:
            name = _text(node) or (METHODS.get(method, "") if not node.args else "")
            if name:
                has = bool(node.args[1:]) or any(word.arg == "default" for word in node.keywords)
                self._add(self.prefix + name, DEFAULT if has else REQUIRED, node)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """Pydantic's settings: one for each field."""
        if any(_last(base) in self.names.base_settings for base in node.bases):
            prefix = _pydantic_prefix(node)
            for item in node.body:
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                    self._field(item, item.target.id, prefix)
        self.generic_visit(node)

    def _field(self, item: ast.AnnAssign, name: str, prefix: str) -> None:
        if name == "model_config" or name.startswith("_"):
            return
        call = item.value if isinstance(item.value, ast.Call) and _last(item.value.func) == "Field" else None
        words = {word.arg: word.value for word in call.keywords} if call else {}
        alias = next((words[key] for key in ("validation_alias", "alias", "env") if key in words), None)
        if alias is not None:
            text = alias.value if isinstance(alias, ast.Constant) else None
        else:
            text = (prefix + name).upper()
        default = item.value if call is None else (call.args[0] if call.args else words.get("default"))
        has = default is not None and not (isinstance(default, ast.Constant) and default.value is ...)
        self._add(text, DEFAULT if has or "default_factory" in words else REQUIRED, item)


def _types(node: ast.expr) -> list[ast.expr]:
    return node.elts if isinstance(node, ast.Tuple) else [node]


def _text(call: ast.Call) -> str:
    """Return the first argument of a call if it is a plain text."""
    first = call.args[0] if call.args else next((word.value for word in call.keywords if word.arg == "key"), None)
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""


def _has_default(call: ast.Call) -> bool:
    """Say whether a call names what to take instead; `None` is nothing to take."""
    given = [*call.args[1:2], *(word.value for word in call.keywords if word.arg == "default")]
    return any(not (isinstance(item, ast.Constant) and item.value is None) for item in given)


def _pydantic_prefix(node: ast.ClassDef) -> str:
    for item in ast.walk(node):
        if isinstance(item, ast.keyword) and item.arg == "env_prefix" and isinstance(item.value, ast.Constant):
            return str(item.value.value)
        if not isinstance(item, ast.Assign) or not isinstance(item.value, ast.Constant):
            continue
        if _last(item.targets[0]) == "env_prefix":
            return str(item.value.value)
    return ""
