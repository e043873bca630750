"""The verbs `fab secrets init`, `edit` and `rotate`. No secret is an argument, and none is printed."""

from __future__ import annotations

import secrets as strong
from pathlib import Path

from windlass import inventory, messages
from windlass.errors import Status
from windlass.output import Screen
from windlass.secrets import database, names, password, vault
from windlass.secrets.editor import edit as in_editor
from windlass.verbs import verb

BYTES = 48  # 64 characters of letters, digits, - and _
NEXT = "_next"
VAULT_PASSWORD = "vault-password"  # noqa: S105 - the word that names it


@verb
def secrets(action: str, name: str, env: str | None, forget: bool = False) -> int:
    """Do what the first word says."""
    found = inventory.find(env)
    directory = found if found.is_dir() else found.parent
    screen = Screen()
    if action not in ("init", "edit", "rotate"):
        raise messages.bad_secrets_action(action)
    if name and action != "rotate":
        raise messages.secrets_takes_no_name(action)
    if action == "init":
        _init(directory, screen)
    elif action == "edit":
        _edit(directory, screen)
    elif not name:
        raise messages.rotate_what(list(_opened(directory).values()))
    elif name == VAULT_PASSWORD:
        password.rotate(directory, screen)
    elif name == database.NAME:
        _rotate_database(directory, forget, screen)
    else:
        _rotate(directory, name, forget, screen)
    return Status.DONE


def fresh() -> str:
    """Return a new secret that nobody can guess, of characters that need no quoting anywhere."""
    return strong.token_urlsafe(BYTES)


def _opened(directory: Path) -> vault.Opened:
    """Return the inventory's vault, decrypted with the configured password, or the one that is typed."""
    path = directory / vault.NAME
    if path.exists() and not vault.is_sealed(path):
        raise messages.vault_not_encrypted(inventory.shown(path))
    if not path.exists():
        raise messages.no_vault(inventory.shown(path))
    return vault.opened(path, inventory.vault_secrets())


def _init(directory: Path, screen: Screen) -> None:
    path = directory / vault.NAME
    inventory.refuse_hidden(directory, [path.parent])
    opened = _opened(directory) if path.exists() else None
    kept = None if opened else password.prepare(directory, screen)
    text = opened.text if opened else "# The secrets of this inventory; every name begins with vault_.\n"
    values = vault.parsed(text, path)
    wanted, missing = _wanting(directory, set(values))
    made = {use.name: "" if use.fallbacks else fresh() for use in wanted}
    new = vault.with_values(text, path, made)
    for use in missing:
        line = f"# {use.name}: what {use.where} takes; only you know it\n"
        new += line if line not in new else ""
    if opened is None:
        vault.replace(path, vault.seal(new, kept))
    elif new != text:
        opened.save(new)
    screen.result(f"{inventory.shown(path)}: {'made ' + ', '.join(made) if made else 'nothing had to be made'}")
    for use in missing:
        screen.result(f"{use.name} has no value yet ({use.where}): type fab secrets edit")


def _wanting(directory: Path, there: set[str]) -> tuple[list[names.Use], list[names.Use]]:
    """Return the names without a value: those that may be made up, and those that only the owner knows."""
    there = there | inventory.vault_names(directory)
    found: dict[str, list[names.Use]] = {}
    for use in inventory.vault_uses(directory):
        if use.name not in there:
            found.setdefault(use.name, []).append(use)
    wanted = [uses[0] for uses in found.values() if all(use.own or use.fallbacks for use in uses)]
    return wanted, [uses[0] for name, uses in found.items() if name not in {use.name for use in wanted}]


def _edit(directory: Path, screen: Screen) -> None:
    opened = _opened(directory)
    text = in_editor(opened.text, opened.path.name)
    vault.parsed(text, inventory.shown(opened.path))
    if text == opened.text:
        screen.result(f"{inventory.shown(opened.path)}: nothing was changed")
        return
    opened.save(text)
    screen.result(f"{inventory.shown(opened.path)}: encrypted again; {_provision(directory)}")


def _rotate_database(directory: Path, forget: bool, screen: Screen) -> None:
    if forget:
        raise messages.database_forgets_by_itself()
    number = database.rotate(directory)
    screen.result(
        f"{inventory.shown(directory / database.FILE)}: generation {number} of the passwords; {_provision(directory)}"
    )


def _rotate(directory: Path, name: str, forget: bool, screen: Screen) -> None:
    """Give a name another value; a key that signs sessions keeps the one before among its fallbacks."""
    opened = _opened(directory)
    values = opened.values()
    places = [use for use in inventory.vault_uses(directory) if use.name == name]
    if name not in values:
        raise messages.no_such_secret(name, list(values))
    keys = [use for use in places if use.own and use.setting.endswith("SECRET_KEY")]
    if not keys:
        _refuse_what_others_gave(places)
        changed: dict[str, str | None] = {name: fresh()}
        said = "has a new value"
    else:
        changed, said = _key(directory, name, {key: str(value) for key, value in values.items()}, keys[0], forget)
    opened.save(vault.with_values(opened.text, opened.path, changed))
    screen.result(f"{name} {said}; {_provision(directory)}")


def _refuse_what_others_gave(places: list[names.Use]) -> None:
    if other := next((use for use in places if not use.own), None):
        raise messages.secret_of_others(other.name, other.setting or other.where)


def _key(
    directory: Path, name: str, values: dict[str, str], use: names.Use, forget: bool
) -> tuple[dict[str, str | None], str]:
    """Return what becomes of an app's key and of its fallbacks.

    On several servers none may meet a key that it does not know: first all of them accept the next key, then it signs.
    """
    fallbacks = next(
        (
            other.name
            for other in inventory.vault_uses(directory)
            if other.app == use.app and other.setting == use.setting + names.FALLBACKS
        ),
        None,
    )
    if forget:
        gone: dict[str, str | None] = {fallbacks: ""} if fallbacks else {}
        return {name: fresh(), **gone, **_without_next(name, values)}, "has a new value, and the old one counts no more"
    if fallbacks is None:
        raise messages.no_fallbacks(use.app, use.setting, name)
    if values[name].split() != [values[name]]:
        raise messages.key_with_space(name)
    if (key := values.get(name + NEXT)) is not None:
        said = "signs with the new value, and the old one is accepted"
        return {name: key, fallbacks: values[name], name + NEXT: None}, said
    if inventory.app_servers(directory) > 1:
        key = fresh()
        former = values.get(fallbacks, "").split()[:1]
        said = "will have a new value, which all servers have to accept first"
        return {name + NEXT: key, fallbacks: " ".join([key, *former])}, said
    return {name: fresh(), fallbacks: values[name]}, "has a new value, and the old one is accepted"


def _without_next(name: str, values: dict[str, str]) -> dict[str, str | None]:
    return {name + NEXT: None} if name + NEXT in values else {}


def _provision(directory: Path) -> str:
    """Return the command that brings the vault to the servers."""
    return f"type ansible-playbook -i {inventory.shown(directory)} site.yml"
