"""Every message of `fab` comes from windlass/messages.py, is one line, and says what to do next."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support import project
from windlass import errors, messages
from windlass.errors import Status, WindlassError
from windlass.server.errors import Failure

SAMPLES: dict[str, Any] = {
    "Exception": ValueError("first line\nsecond line"),
    "Path": Path("inventories/x"),
    "Path | None": None,
    "bool": True,
    "dict[str, object]": {"by": "ann@laptop", "since": "2026-01-02T03:04:05Z", "version": "v1", "phase": "build"},
    "float": 1.5,
    "int": 60,
    "list[int]": [41, 42],
    "list[str]": ["guestbook", "diary"],
    "str": "word",
    "WindlassError": WindlassError("web2: the disk is full", "remove something"),
}
FUNCTIONS = [
    function
    for name, function in inspect.getmembers(messages, inspect.isfunction)
    if not name.startswith("_") and function.__module__ == messages.__name__
]
MAKES = ("WindlassError", "Failure")
ERRORS = [function for function in FUNCTIONS if function.__annotations__["return"] in MAKES]
NOTES = [function for function in FUNCTIONS if function.__name__.startswith(("note_", "notice_"))]
SOURCES = [path for folder in ("windlass", "plugins") for path in sorted((project.ROOT / folder).rglob("*.py"))]
ELSEWHERE = [
    path
    for path in [*SOURCES, project.ROOT / "tasks.py"]
    if project.shown(path) not in ("windlass/messages.py", "windlass/errors.py", "windlass/server/errors.py")
]
named = pytest.mark.parametrize("function", ERRORS, ids=lambda function: function.__name__)


def made(function: Any) -> Any:
    arguments = [SAMPLES[str(kind)] for name, kind in function.__annotations__.items() if name != "return"]
    return function(*arguments)


def documented_statuses() -> set[int]:
    text = (project.ROOT / "docs" / "releases.md").read_text().split("## Exit status")[1].split("\n## ")[0]
    return {int(number) for number in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}


def status_of(error: WindlassError | Failure) -> Status:
    return error.status if isinstance(error, WindlassError) else errors.status_of(error.code)


def test_there_are_messages_to_look_at():
    assert len(ERRORS) > 80
    assert len(NOTES) > 2


@named
def test_an_error_is_one_line_that_says_what_to_do(function: Any):
    error = made(function)
    assert isinstance(error, WindlassError | Failure)
    shown = str(error) if isinstance(error, WindlassError) else error.as_result()["error"]["message"]
    for text in (shown, error.message, error.hint):
        assert text.strip()
        assert not re.search(r"[.;,]$|\.\.|  ", text.rstrip("?")), text
    assert "\n" not in shown + error.hint
    assert "  " not in error.hint


@named
def test_an_error_ends_with_a_documented_status(function: Any):
    status = status_of(made(function))
    assert status in documented_statuses()
    assert status != Status.DONE


@named
def test_an_error_of_the_server_has_a_code_in_plain_words(function: Any):
    error = made(function)
    if isinstance(error, Failure):
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", error.code)


@pytest.mark.parametrize("function", NOTES, ids=lambda function: function.__name__)
def test_a_note_is_one_line(function: Any):
    text = made(function)
    assert text == " ".join(text.split())
    assert not text.endswith(".")


def test_the_table_of_exit_statuses_is_the_one_that_is_used():
    assert documented_statuses() == {int(status) for status in Status}
    assert set(errors.STATUS_OF_CODE.values()) <= set(Status)


@pytest.mark.parametrize(
    ("code", "switched", "status"),
    [
        ("probe-failed", False, Status.FAILED),
        ("worker-failed", True, Status.FAILED_AFTER_SWITCH),
        ("switched-back", False, Status.FAILED_AFTER_SWITCH),
        ("locked", False, Status.LOCKED),
        ("unknown-app", False, Status.USAGE),
        ("no-such-code", False, Status.FAILED),
    ],
)
def test_a_code_of_the_server_becomes_one_status(code: str, switched: bool, status: Status):
    assert errors.status_of(code, switched) == status


def calls(path: Path, names: tuple[str, ...]) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in names:
                found.append(f"{project.shown(path)}:{node.lineno}: {name}(")
    return found


def test_no_other_file_words_an_error():
    assert len(ELSEWHERE) > 40
    assert [place for path in ELSEWHERE for place in calls(path, ("Failure", "WindlassError"))] == []


def test_a_note_is_worded_in_the_same_place():
    wrong = []
    for path in ELSEWHERE:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "note":
                literal = [item for item in node.args if isinstance(item, ast.Constant | ast.JoinedStr)]
                wrong += [f"{project.shown(path)}:{node.lineno}" for _ in literal]
    assert wrong == []


def test_the_module_needs_the_standard_library_only():
    for node in ast.walk(ast.parse((project.ROOT / "windlass" / "messages.py").read_text())):
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] in ("__future__", "typing", "collections", "pathlib", "windlass")
