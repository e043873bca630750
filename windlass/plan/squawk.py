"""squawk, the analyser of PostgreSQL migrations: which of its rules each statement breaks."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from windlass import messages
from windlass.plan.statements import Statement

SECONDS = 30


def rules(statements: Sequence[Statement], server: str) -> list[dict[str, str]]:
    """Return, for each statement, squawk's message by the rule that it breaks.

    `server` is PostgreSQL's version, such as 17; nothing when it is not known. The statements are those of all
    migrations in one file, so that squawk sees which of them share a transaction.
    """
    text, starts = "", []
    for statement in statements:
        starts.append(text.count("\n"))
        text += statement.text + "\n;\n"
    found: list[dict[str, str]] = [{} for _ in statements]
    for line, rule, message in _run(text, server):
        index = max((number for number, start in enumerate(starts) if start <= line), default=0)
        found[index].setdefault(rule, message)
    return found


def _run(text: str, server: str) -> list[tuple[int, str, str]]:
    """Return line, rule and message of all that it finds; in an empty folder, since a `.squawk.toml` would count."""
    command = [program(), "--reporter", "json", "--no-assume-in-transaction"]
    command += ["--pg-version", server] if server else []
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                command, cwd=folder, input=text, capture_output=True, text=True, timeout=SECONDS, check=False
            )
            reports = json.loads(done.stdout)
            return [(report["line"], report["rule_name"], report["message"]) for report in reports]
        except (OSError, ValueError, KeyError, TypeError, subprocess.TimeoutExpired) as error:
            raise messages.analyser_failed(str(error)) from error


def program() -> str:
    """Return the binary, which its package puts beside Python."""
    beside = Path(sys.executable).with_name("squawk")
    found = str(beside) if beside.exists() else shutil.which("squawk")
    if not found:
        raise messages.analyser_missing()
    return found
