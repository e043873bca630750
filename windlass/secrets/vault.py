"""The inventory's encrypted file: read, changed in memory, and replaced whole or not at all."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from windlass import messages
from windlass.inventory import VAULT_HEADER

NAME = Path("group_vars") / "all" / "vault.yml"
Secrets = list[tuple[str, Any]]


@dataclass(frozen=True)
class Opened:
    """The text of an encrypted file, and what it was encrypted with."""

    path: Path
    sealed: bytes
    text: str
    identity: str | None
    secret: Any

    def values(self) -> dict[str, Any]:
        """Return its names and values."""
        return parsed(self.text, self.path)

    def save(self, text: str) -> None:
        """Encrypt another text and put it in the file's place, unless somebody else changed it meanwhile."""
        if self.path.read_bytes() != self.sealed:
            raise messages.vault_changed_meanwhile(self.path)
        replace(self.path, seal(text, self.secret, self.identity))


def is_sealed(path: Path) -> bool:
    """Whether a file is encrypted as a whole."""
    with path.open("rb") as file:
        return file.read(len(VAULT_HEADER)) == VAULT_HEADER


def opened(path: Path, secrets: Secrets) -> Opened:
    """Decrypt a file with the password that fits; one line says what is wrong with it."""
    from ansible.errors import AnsibleError
    from ansible.parsing.vault import VaultLib

    if not path.exists():
        raise messages.no_vault(path)
    if not is_sealed(path):
        raise messages.vault_not_encrypted(path)
    sealed = path.read_bytes()
    if not secrets:
        raise messages.vault_password_missing(str(path))
    for identity, secret in secrets:
        try:
            text = VaultLib([(identity, secret)]).decrypt(sealed).decode()
        except AnsibleError:
            continue
        except UnicodeDecodeError as error:
            raise messages.vault_not_text(path) from error
        return Opened(path, sealed, text, _label(sealed), secret)
    raise messages.vault_password_wrong(str(path))


def _label(sealed: bytes) -> str | None:
    """Return the vault ID in the header of format 1.2, or nothing."""
    fields = sealed.split(b"\n", 1)[0].decode().split(";")
    return fields[3].strip() if len(fields) > 3 else None


def seal(text: str, secret: Any, identity: str | None = None) -> bytes:
    """Return a text encrypted."""
    from ansible.parsing.vault import VaultLib

    sealed: bytes = VaultLib().encrypt(text, secret=secret, vault_id=identity)
    return sealed


def replace(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Put a file in its place by rename, on the disk before it is there; nobody else may read it meanwhile."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        beside = Path(name)
    except OSError as error:
        raise messages.cannot_write(path, str(error.strerror)) from error
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.chmod(mode)
        beside.replace(path)
    except OSError as error:
        raise messages.cannot_write(path, str(error.strerror)) from error
    finally:
        beside.unlink(missing_ok=True)


def parsed(text: str, path: Path) -> dict[str, Any]:
    """Return what a vault's text holds; it must be names that begin with vault_, each once, and their values."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise messages.vault_not_yaml(path, mark.line + 1 if mark else 1) from None  # its own words quote the text
    if values is None:
        return {}
    if not isinstance(values, dict) or not isinstance(root, yaml.MappingNode):
        raise messages.vault_not_names(path)
    seen: set[str] = set()
    for key, _ in root.value:
        name = str(key.value)
        if not re.fullmatch(r"vault_\w+", name):
            raise messages.vault_bad_name(path, key.start_mark.line + 1)
        if name in seen:
            raise messages.vault_name_twice(path, key.start_mark.line + 1, name)
        seen.add(name)
    return values


def with_values(text: str, path: Path, wanted: Mapping[str, str | None]) -> str:
    """Return the vault's text with these values; None takes a name away. Every other line stays as it is."""
    before = parsed(text, path)
    for name, value in wanted.items():
        text = _with_value(text, name, value)
    after = {name: value for name, value in {**before, **wanted}.items() if value is not None}
    if parsed(text, path) != after:
        raise messages.vault_not_plain(path)
    return text


def _with_value(text: str, name: str, value: str | None) -> str:
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    found = next(((key, node) for key, node in pairs if key.value == name), None)
    line = "" if value is None else f"{name}: {json.dumps(value, ensure_ascii=False)}\n"
    if found is None:
        return text + ("" if not text or text.endswith("\n") else "\n") + line
    begin = found[0].start_mark.index
    end = found[1].end_mark.index
    if not text[begin:end].endswith("\n"):
        next_line = text.find("\n", end)
        end = len(text) if next_line < 0 else next_line + 1
    return text[:begin] + line + text[end:]
