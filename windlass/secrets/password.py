"""The vault's password: a file that its owner alone can read, outside version control."""

from __future__ import annotations

import contextlib
import os
import secrets as strong
import stat
import subprocess
from pathlib import Path
from typing import Any

from windlass import messages
from windlass.errors import WindlassError
from windlass.output import Screen
from windlass.secrets import vault

BYTES = 48
NEW = ".new"


def configured(directory: Path) -> Path | None:
    """Return the file that Ansible is told of, by its environment or by ansible.cfg, for this inventory, or nothing."""
    from windlass.inventory import configure

    configure()
    from ansible import constants

    if constants.DEFAULT_VAULT_PASSWORD_FILE:
        return Path(constants.DEFAULT_VAULT_PASSWORD_FILE).expanduser()
    listed = [str(item).rpartition("@") for item in constants.DEFAULT_VAULT_IDENTITY_LIST]
    named = [source for name, _, source in listed if len(listed) == 1 or name == directory.name]
    return Path(named[0]).expanduser() if named and not named[0].startswith("prompt") else None


def default(directory: Path) -> Path:
    """Return where the password of an inventory lies unless Ansible is told otherwise."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
    return home / "windlass" / directory.name


def prepare(directory: Path, screen: Screen) -> Any:
    """Return the secret of the password file, which is made if it is not there."""
    told = configured(directory)
    path = told or default(directory)
    _keep_out_of_git(path, screen)
    if not path.exists():
        _write(path, strong.token_urlsafe(BYTES))
        screen.result(f"{path}: made, the vault's password; keep a copy where you keep passwords")
    if not told:
        screen.result(f"add to your shell's profile: export ANSIBLE_VAULT_PASSWORD_FILE={path}")
    return secret(path)


def secret(path: Path) -> Any:
    """Return what is in the password file, for Ansible; refuse a file that others may read."""
    from ansible.parsing.vault import VaultSecret

    mode = path.stat().st_mode
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise messages.password_file_open(path, stat.S_IMODE(mode))
    if mode & stat.S_IXUSR:
        raise messages.password_file_runs(path)
    text = path.read_bytes().strip()
    if not text:
        raise messages.password_file_empty(path)
    return VaultSecret(text)


def rotate(directory: Path, screen: Screen) -> None:
    """Encrypt every file with another password, also of other inventories, then put that in the old one's place.

    Cut short, it leaves the new password beside the old one: one of the two opens each file. Run again it goes on.
    """
    main = directory / vault.NAME
    if not main.exists():
        raise messages.no_vault(main)
    if not vault.is_sealed(main):
        raise messages.vault_not_encrypted(main)
    path = configured(directory)
    if path is None or not path.exists():
        raise messages.no_password_file()
    old = secret(path)
    _keep_out_of_git(path, screen)
    beside = path.with_name(path.name + NEW)
    if not beside.exists():
        _write(beside, strong.token_urlsafe(BYTES))
    new = secret(beside)
    both = [("default", old), ("default", new)]
    files = _sealed_files(directory)
    texts = [vault.opened(file, both) for file in files] + _others_with(directory, both)
    for text in texts:
        vault.replace(text.path, vault.seal(text.text, new, text.identity))
    for text in texts:  # the old password goes only when the new one was seen to work
        vault.opened(text.path, [("default", new)])
    beside.replace(path)
    screen.result(f"{path}: a new vault password; encrypted with it: {len(texts)} file{'s' if len(texts) > 1 else ''}")


def _sealed_files(directory: Path) -> list[Path]:
    """Return the encrypted files of an inventory; refuse one in which single values are encrypted."""
    found = []
    there = [*directory.glob("*"), *directory.glob("*_vars/**/*")]
    for path in sorted({item for item in there if item.is_file()}):
        if path.suffix in (".yml", ".yaml", "") and b"!vault" in path.read_bytes():
            raise messages.single_values_sealed(path)
        if vault.is_sealed(path):
            found.append(path)
    return found


def _others_with(directory: Path, secrets: vault.Secrets) -> list[vault.Opened]:
    """Return what the inventories beside this one have of the same password: nobody could open it afterwards."""
    found = []
    for place in sorted(directory.absolute().parent.iterdir()):
        if place != directory.absolute() and (place / "group_vars").is_dir():
            for file in _sealed_files(place):
                with contextlib.suppress(WindlassError):  # with a password of its own
                    found.append(vault.opened(file, secrets))
    return found


def _write(path: Path, text: str) -> None:
    """Make a file that was not there, readable by its owner alone from the first moment."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())


def _keep_out_of_git(path: Path, screen: Screen) -> None:
    """Have git ignore a password file that lies in a work tree; refuse one that git has already."""
    folder = next(parent for parent in path.absolute().parents if parent.is_dir())
    top = _git(folder, "rev-parse", "--show-toplevel")
    if top.returncode != 0:
        return
    if _git(folder, "ls-files", "--error-unmatch", str(path.absolute())).returncode == 0:
        raise messages.password_in_git(path)
    if _git(folder, "check-ignore", "--quiet", str(path.absolute())).returncode == 0:
        return
    root = Path(top.stdout.strip())
    ignore = root / ".gitignore"
    lines = ignore.read_text() if ignore.exists() else ""
    line = f"/{path.absolute().resolve().relative_to(root.resolve())}*\n"
    ignore.write_text(lines + ("" if not lines or lines.endswith("\n") else "\n") + line)
    if _git(folder, "check-ignore", "--quiet", str(path.absolute())).returncode != 0:
        raise messages.password_not_ignored(path, ignore)
    screen.result(f"{ignore}: {line.strip()} added, so that the password never gets into version control")


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return subprocess.CompletedProcess([], 1, "", "")
