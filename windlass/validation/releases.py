"""What an entry of `apps` says about its releases, checked: hooks, notices, keys of pipelines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from windlass import messages
from windlass.server.names import HOOKS, LAPTOP_HOOKS

Finding = tuple[tuple[Any, ...], str]
"""Where in the entry, and what is wrong."""

_WEBHOOK = re.compile(r"https?://[^\s/]+(/\S*)?")
_PUBLIC_KEY = re.compile(r"(sk-)?(ssh|ecdsa)-[\w.@-]+ +AAAA[A-Za-z0-9+/]*=*( [^\x00-\x1f\x7f]*)?")
_EMAIL = re.compile(r"[^@\s'\"<>,;:\\]+@[^@\s'\"<>,;:\\]+")
_VAULT_NAME = re.compile(r"\bvault_\w+")
_TEMPLATE = re.compile(r"\{\{|\{%")


def entry(app: dict[str, Any], names: dict[str, Any], sealed: bool) -> Iterator[Finding]:
    """Check one entry; `names` are the inventory's variables, without the vault's when it is `sealed`."""
    yield from _hooks(app)
    yield from _notify(app, names, sealed)
    yield from _deploy_keys(app, names)


def pairs(apps: list[dict[str, Any]]) -> Iterator[Finding]:
    """Check that no key of a pipeline stands in two entries: sshd would know it for the first only."""
    owners: dict[str, str] = {}
    for index, app in enumerate(apps):
        for position, key in enumerate(app.get("deploy_keys") or []):
            owner = owners.setdefault(_itself(key), app["name"])
            if owner != app["name"]:
                yield ("apps", index, "deploy_keys", position), f"is the key of {owner}; make another one for this app"


def not_in_vault(value: str, names: dict[str, Any], sealed: bool) -> Iterator[str]:
    """Say which names that a template takes from the vault are in no vault."""
    if sealed:
        return
    for missing in sorted(set(_VAULT_NAME.findall(value)) - set(names)):
        vaulted = [known for known in names if known.startswith("vault_")]
        yield f"{missing} is not set anywhere; {messages.vault_name_wanting(missing, vaulted)}"


def unfit(text: str) -> str:
    """Return what a settings file cannot hold of a text, or nothing."""
    if "\0" in text:
        return "a NUL character, which no environment can"
    return "a carriage return, which a settings file does not keep" if "\r" in text else ""


def unfit_in_vault(value: str, names: dict[str, Any]) -> Iterator[str]:
    """Say which secrets that a template takes cannot be a setting; their values are not shown."""
    for name in sorted(set(_VAULT_NAME.findall(value)) & set(names)):
        if isinstance(names[name], str) and (what := unfit(names[name])):
            yield f"{name} holds {what}; write it without: fab secrets edit"


def _hooks(app: dict[str, Any]) -> Iterator[Finding]:
    hooks = app.get("hooks") or {}
    for place, known in (("laptop", LAPTOP_HOOKS), ("server", HOOKS)):
        for name, command in (hooks.get(place) or {}).items():
            if name in LAPTOP_HOOKS and name not in known:
                yield ("hooks", place, name), "runs on the laptop; write it under laptop:"
            elif name not in known:
                yield ("hooks", place, name), f"unknown; {messages.did_you_mean(str(name), known)}"
            elif not isinstance(command, str) or not command.strip() or "\0" in command:
                yield ("hooks", place, name), "must be a shell command, in quotes"


def _notify(app: dict[str, Any], names: dict[str, Any], sealed: bool) -> Iterator[Finding]:
    notify = app.get("notify") or {}
    for index, address in enumerate(notify.get("mail") or []):
        if not _TEMPLATE.search(address) and not _EMAIL.fullmatch(address):
            yield ("notify", "mail", index), f"{address!r} is no mail address; write you@example.com"
    webhook = str(notify.get("webhook") or "")
    if _TEMPLATE.search(webhook):
        for message in not_in_vault(webhook, names, sealed):
            yield ("notify", "webhook"), message
    elif webhook and not _WEBHOOK.fullmatch(webhook):
        yield ("notify", "webhook"), "is no URL; write https://HOST/PATH, by the name of a vault_ variable"


def _deploy_keys(app: dict[str, Any], names: dict[str, Any]) -> Iterator[Finding]:
    """Check the keys of pipelines. sshd takes the first line of a key: one that stands elsewhere may do more there."""
    elsewhere = {
        _itself(key): name
        for name in ("base_deploy_keys", "base_admin_keys")
        for key in names.get(name) or []
        if isinstance(key, str)
    }
    for index, key in enumerate(app.get("deploy_keys") or []):
        if not _PUBLIC_KEY.fullmatch(key.strip()):
            yield ("deploy_keys", index), "is no public SSH key alone on its line; write what the .pub file holds"
        elif _itself(key) in elsewhere:
            yield ("deploy_keys", index), f"stands in {elsewhere[_itself(key)]} too; make one for the pipeline alone"


def _itself(key: str) -> str:
    """Return a public key without its type and comment."""
    found = re.search(r"AAAA[A-Za-z0-9+/]*=*", key)
    return found[0] if found else key
