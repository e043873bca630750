"""Whether a value has the shape that its spec asks for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from windlass import messages
from windlass.specs import Options
from windlass.validation.variables import Problem, Where

_TEMPLATE = re.compile(r"\{\{|\{%")


def example(name: str, spec: dict[str, Any]) -> str:
    """Return a line to write where a key is missing."""
    known = {
        "admin_email": "you@example.com",
        "domains": "[www.example.com]",
        "name": "guestbook",
        "repository": "https://HOST/PATH.git",
        "base_admin_keys": '["ssh-ed25519 AAAA... you"]',
    }
    blank = {"list": "[...]", "dict": "{...}", "int": "a number"}.get(spec.get("type", "str"), "...")
    return f"`{name}: {known.get(name, blank)}`"


def key_text(path: tuple[Any, ...]) -> str:
    """Return a path of keys as text: apps[0].env.DEBUG."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


class Walk:
    """Goes down a value along its spec."""

    def __init__(self, where: Where) -> None:
        self.where = where

    def problem(self, path: tuple[Any, ...], message: str) -> Problem:
        """Return a mistake at a path of keys."""
        return Problem(self.where(path), key_text(path), message)

    def value(self, path: tuple[Any, ...], value: Any, spec: dict[str, Any]) -> Iterator[Problem]:
        """Give the mistakes of a value and of all that is in it."""
        if value is None:
            if spec.get("required"):
                yield self.problem(path, f"empty; write {example(str(path[-1]), spec)}")
            elif spec.get("default") is not None:
                yield self.problem(path, f"empty; write {_kind(spec)} or delete the line")
            return
        kind = spec.get("type", "str")
        if (message := _wrong_type(value, kind)) and not is_template(value):
            yield self.problem(path, message)
            return
        if "choices" in spec and kind != "list" and value not in spec["choices"]:
            yield self.problem(path, _no_choice(value, spec["choices"]))
        if kind == "list" and isinstance(value, list):
            yield from self.elements(path, value, spec)
        elif kind == "dict" and "options" in spec and isinstance(value, dict):
            yield from self.keys(path, value, spec["options"])

    def elements(self, path: tuple[Any, ...], value: list[Any], spec: dict[str, Any]) -> Iterator[Problem]:
        """Give the mistakes of a list."""
        inner: dict[str, Any] = {key: spec[key] for key in ("choices", "options") if key in spec}
        if spec.get("required") and not value:
            yield self.problem(path, f"empty; write {example(str(path[-1]), spec)}")
        for index, element in enumerate(value):
            if element is None:
                yield self.problem((*path, index), "empty; write something or delete the line")
            elif "elements" in spec:
                yield from self.value((*path, index), element, {**inner, "type": spec["elements"]})

    def keys(self, path: tuple[Any, ...], value: dict[Any, Any], options: Options) -> Iterator[Problem]:
        """Give the mistakes of a mapping."""
        for key in value:
            if key not in options:
                yield self.problem((*path, key), f"unknown; {messages.did_you_mean(str(key), options)}")
        for key, spec in options.items():
            if key in value:
                yield from self.value((*path, key), value[key], spec)
            elif spec.get("required"):
                yield self.problem((*path, key), f"missing; write {example(key, spec)}")


def is_template(value: Any) -> bool:
    """Whether the value is text that Ansible will render, so that its type is not known yet."""
    return isinstance(value, str) and bool(_TEMPLATE.search(value))


def _kind(spec: dict[str, Any]) -> str:
    return _KINDS.get(spec.get("type", "str"), "a value")


_KINDS = {
    "str": "text",
    "path": "a path",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "a mapping of keys to values",
}


def _wrong_type(value: Any, kind: str) -> str:
    """Return what is wrong, or nothing. Text must be text: YAML reads 3.10 as 3.1, and `on` as true."""
    right: dict[str, Callable[[Any], bool]] = {
        "str": is_text,
        "path": is_text,
        "int": lambda v: isinstance(v, int) and not isinstance(v, bool),
        "float": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
        "bool": lambda v: isinstance(v, bool),
        "list": lambda v: isinstance(v, list),
        "dict": lambda v: isinstance(v, dict),
    }
    if kind not in right or right[kind](value):
        return ""
    if kind in ("str", "path") and isinstance(value, bool | int | float):
        return f'is {described(value)}, not text; write it with quotes: "{yaml_text(value)}"'
    hint = {
        "list": "write [one, two]",
        "dict": "write key: value lines",
        "int": "write digits without quotes",
    }
    return f"must be {_KINDS[kind]}, not {described(value)}; {hint.get(kind, f'write {_KINDS[kind]}')}"


def is_text(value: Any) -> bool:
    """Whether a value is text; a string of the vault is, though it is of another class."""
    return isinstance(value, str) or type(value).__name__ == "EncryptedString"


def described(value: Any) -> str:
    """Return what a value is, in words."""
    if isinstance(value, bool):
        return f"the boolean {yaml_text(value)}"
    if isinstance(value, int | float):
        return f"the number {value}"
    return {"list": "a list", "dict": "a mapping"}.get(_class(value), "text")


def _class(value: Any) -> str:
    return "list" if isinstance(value, list) else "dict" if isinstance(value, dict) else "str"


def yaml_text(value: Any) -> str:
    """Return a value as YAML has it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _no_choice(value: Any, choices: list[Any]) -> str:
    return f"{value!s} is not known; {messages.did_you_mean(str(value), map(str, choices))}"
