"""Which names of the vault an inventory uses, where, and which of them are the app's own to make up."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from windlass.validation.variables import Variables

_NAME = re.compile(r"\bvault_\w+")
_TEMPLATE = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_WHOLE = re.compile(r"\s*\{\{\s*(vault_\w+)\s*\}\}\s*")
# Settings that nobody else has to know. `STRIPE_SECRET_KEY` and its like are given by others.
_OWN = re.compile(r"(DJANGO_|FLASK_|APP_|WTF_CSRF_|JWT_|SESSION_)?SECRET(_KEY)?(_BASE)?|\w*SALT")
FALLBACKS = "_FALLBACKS"


@dataclass(frozen=True)
class Use:
    """A place that takes a name from the vault; `setting` is the environment variable whose whole value it is."""

    name: str
    where: str
    app: str = ""
    setting: str = ""

    @property
    def own(self) -> bool:
        """Whether any value will do, as long as it is a strong one."""
        return bool(self.setting) and _OWN.fullmatch(self.setting) is not None

    @property
    def fallbacks(self) -> bool:
        """Whether it is where former values of a setting go."""
        return self.setting.endswith(FALLBACKS)


def uses(variables: Variables) -> list[Use]:
    """Return every place of a host's variables that takes something from the vault."""
    found: list[Use] = []
    for path, text in _texts((), variables.raw):
        names = [name for part in _TEMPLATE.findall(text) for name in _NAME.findall(part)]
        whole = _WHOLE.fullmatch(text)
        app, setting = _setting(variables.raw, path) if whole else ("", "")
        found += [Use(name, variables.where(path), app, setting) for name in names]
    return found


def _texts(path: tuple[Any, ...], value: Any) -> Iterator[tuple[tuple[Any, ...], str]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _texts((*path, key), item)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _texts((*path, index), item)
    elif type(value).__name__ != "EncryptedString" and isinstance(value, str):
        yield path, str(value)


def _setting(raw: dict[str, Any], path: tuple[Any, ...]) -> tuple[str, str]:
    """Return the app and the environment variable of a path such as apps[0].env.SECRET_KEY."""
    if len(path) == 4 and path[0] == "apps" and path[2] == "env":
        return str(raw["apps"][path[1]].get("name", "")), str(path[3])
    return "", ""
