"""Asking before something that cannot be taken back by itself."""

from __future__ import annotations

import sys

from windlass import messages


def ask(question: str, yes: bool) -> None:
    """Return if the user agrees, or has by `--yes`; raise what ends the verb if not, or if there is nobody to ask."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise messages.not_confirmed(question)
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise messages.declined()
