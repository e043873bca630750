"""Just enough of the shell's grammar to change one word of a command and leave the rest as it was written."""

from __future__ import annotations

import re
from dataclasses import dataclass

SPACE = " \t"
OPERATORS = ("&&", "||", ";;", ";", "|", "&", "\n", "(", ")")
ENDINGS = {"(": ")", "{": "}"}
ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")
LOOPS = frozenset(("if", "while", "until", "for", "case", "{", "!"))
BUILTINS = frozenset(
    [
        "cd",
        "export",
        "set",
        "unset",
        ".",
        "source",
        "trap",
        "umask",
        "ulimit",
        "exit",
        "return",
        "eval",
        "read",
        "wait",
        "shift",
        "command",
        ":",
        "break",
        "continue",
    ]
)


@dataclass(frozen=True)
class Word:
    """One word as it stands in the command, and without its quotes; or an operator between commands."""

    raw: str
    value: str
    operator: bool = False


def split(command: str) -> list[Word]:
    """Return the words and operators of a command; an unclosed quote ends with the text."""
    words: list[Word] = []
    position = 0
    while position < len(command):
        if command[position] in SPACE:
            position += 1
            continue
        operator = next((item for item in OPERATORS if command.startswith(item, position)), None)
        if operator:
            words.append(Word(operator, operator, operator=True))
            position += len(operator)
            continue
        end = _end_of_word(command, position)
        words.append(Word(command[position:end], _unquote(command[position:end])))
        position = end
    return words


def _end_of_word(text: str, position: int) -> int:
    while position < len(text):
        char = text[position]
        if char in SPACE or (char != "&" and char in ";|()\n"):
            break
        if char == "&" and text[position - 1] not in "<>":
            break
        position = _end_of_part(text, position)
    return min(position, len(text))


def _end_of_part(text: str, position: int) -> int:
    """Return where the quote, the expansion or the single character that begins here ends."""
    char = text[position]
    if char == "\\":
        return position + 2
    if char == "'":
        return _after(text.find("'", position + 1), text)
    if char in '"`':
        end = position + 1
        while end < len(text) and text[end] != char:
            end += 2 if text[end] == "\\" else 1
        return end + 1
    if char == "$" and text[position + 1 : position + 2] in ENDINGS:
        return _after_bracket(text, position + 1)
    return position + 1


def _after(found: int, text: str) -> int:
    return len(text) if found < 0 else found + 1


def _after_bracket(text: str, position: int) -> int:
    opening, depth = text[position], 0
    while position < len(text):
        depth += (text[position] == opening) - (text[position] == ENDINGS[opening])
        position += 1
        if depth == 0:
            break
    return position


def _unquote(raw: str) -> str:
    return re.sub(r"\\(.)|['\"]", lambda match: match[1] or "", raw)


def segments(words: list[Word]) -> list[list[Word]]:
    """Return the words in groups: commands and the operators between them, by turns."""
    groups: list[list[Word]] = [[]]
    for word in words:
        if word.operator:
            groups += [[word], []]
        else:
            groups[-1].append(word)
    return groups


def join(groups: list[list[Word]]) -> str:
    """Return the groups as one command."""
    return " ".join(word.raw for group in groups for word in group).strip()


def with_exec(groups: list[list[Word]]) -> tuple[str, bool]:
    """Return the command with `exec` before its last part, and whether the shell is gone then.

    Where the shell must stay (a pipe, a loop, a background job) the command is left as it is.
    """
    last = groups[-1]
    plain = all(group[0].raw in ("&&", ";", "\n") for group in groups[1::2])
    count = 0
    while count < len(last) and ASSIGNMENT.match(last[count].raw):
        count += 1
    names = [group[0].value for group in groups[::2] if group]
    if not plain or count == len(last) or last[count].value in BUILTINS or LOOPS & set(names):
        return join(groups), False
    if last[count].value == "exec":
        return join(groups), True
    placed = [*last[:count], Word("exec", "exec"), *last[count:]]
    return join([*groups[:-1], placed]), True
