"""The verb `fab scale`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from windlass import inventory, inventory_edit, messages, output
from windlass.driver import Event, request
from windlass.errors import Status, WindlassError
from windlass.inventory import App
from windlass.output import Screen
from windlass.verbs import call, verb

_COUNT = re.compile(r"([A-Za-z][A-Za-z0-9_-]{0,31})=(\d{1,2}|100)")


@verb
def scale(words: Sequence[str], app: str | None, env: str | None) -> int:
    """Set how many processes run, in the inventory and at once on each server; without words, tell it."""
    wanted = _parsed(words)
    screen, chosen = Screen(), inventory.load(env).app(app)
    answers = [call(host, screen, request("scale", chosen.name)) for host in chosen.hosts]
    if not wanted:
        _print(screen, chosen, answers)
        return Status.DONE
    _check(wanted, answers[0])
    file = Path(chosen.where.rpartition(":")[0] or chosen.where)
    before = _read(file, wanted)
    try:
        after = inventory_edit.with_scale(before, chosen.name, wanted)
    except inventory_edit.NotPlainError as error:
        raise messages.scale_not_plain(chosen.where, str(error), _shown(wanted)) from error
    if "WEB_CONCURRENCY" in chosen.env and "web" in wanted:
        screen.note(messages.note_env_counts_workers())
    _apply(screen, chosen, file, (before, after), {**chosen.scale, **wanted})
    return Status.DONE


def _parsed(words: Sequence[str]) -> dict[str, int]:
    wanted: dict[str, int] = {}
    for word in words:
        match = _COUNT.fullmatch(word)
        if not match:
            raise messages.bad_count(word)
        wanted[match[1]] = int(match[2])
    if wanted.get("web") == 0:
        raise messages.no_web()
    return wanted


def _check(wanted: dict[str, int], answer: Event) -> None:
    known, single = list(answer.get("counts") or {}), answer.get("single") or []
    for name, count in wanted.items():
        if name not in known:
            raise messages.scaled_unknown(name, known)
        if name in single and count > 1:
            raise messages.scaled_single(name, count)


def _read(file: Path, wanted: dict[str, int]) -> str:
    try:
        return file.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise messages.scale_not_plain(str(file), "it cannot be read", _shown(wanted)) from error


def _apply(screen: Screen, app: App, file: Path, texts: tuple[str, str], counts: dict[str, int]) -> None:
    """Write the inventory, then tell each server; what no server has taken is not left in the inventory."""
    before, after = texts
    file.write_bytes(after.encode())
    done: list[Event] = []
    try:
        for host in app.hosts:
            done.append(call(host, screen, request("scale", app.name, counts=counts)))
    except (WindlassError, KeyboardInterrupt) as error:
        if not done and not (isinstance(error, WindlassError) and error.status == Status.UNREACHED):
            file.write_bytes(before.encode())
        raise
    _print(screen, app, done)


def _print(screen: Screen, app: App, answers: list[Event]) -> None:
    rows = [
        {"host": host.name, "process": name, "count": count}
        for host, answer in zip(app.hosts, answers, strict=True)
        for name, count in (answer.get("counts") or {}).items()
    ]
    columns = ["process", "count"] if len(app.hosts) == 1 else ["host", "process", "count"]
    for line in output.table(rows, columns):
        screen.result(line)


def _shown(counts: dict[str, int]) -> str:
    return "{" + ", ".join(f"{name}: {count}" for name, count in counts.items()) + "}"
