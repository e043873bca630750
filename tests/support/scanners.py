"""What looks for mistakes of security without a server: bandit, zizmor, detect-secrets, and how much each looked at.

A finding that is none is waived in tests/policy/waivers.yml with its reason; a waiver that covers none is refused.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import project

WAIVERS = project.ROOT / "tests" / "policy" / "waivers.yml"
# Assertions, and imports and calls of subprocess: off for ruff too, since running programs is the job.
BANDIT_SKIPS = "B101,B404,B603,B607"
# In these every password is made up, for a server that is thrown away: one beside the word, or in a URL, is no finding.
MADE_UP = ("tests/", "molecule/")
PASSWORDS = ("Secret Keyword", "Basic Auth Credentials")


@dataclass(frozen=True)
class Finding:
    """One line that a scanner does not like."""

    tool: str
    path: str
    rule: str
    line: int
    text: str
    said: str

    def __str__(self) -> str:
        """Return it as a compiler would; never the secret itself."""
        return f"{self.path}:{self.line}: {self.tool} {self.rule}: {self.said}"


@dataclass(frozen=True)
class Report:
    """What a scanner looked at, and what it found."""

    looked_at: int
    findings: tuple[Finding, ...]


def bandit(paths: Iterable[Path], root: Path = project.ROOT) -> Report:
    """Have bandit read Python."""
    names = [str(path) for path in paths]
    command = [_program("bandit"), "--quiet", "--format", "json", "--skip", BANDIT_SKIPS, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode in (0, 1), done.stderr
    said = json.loads(done.stdout)
    assert not said["errors"], said["errors"]
    found = tuple(
        _finding("bandit", root, item["filename"], item["test_id"], item["line_number"], item["issue_text"])
        for item in said["results"]
    )
    return Report(len([name for name in said["metrics"] if name != "_totals"]), found)


def zizmor(paths: Iterable[Path], root: Path = project.ROOT) -> Report:
    """Have zizmor read workflows, in its strictest manner; nothing is asked of the network."""
    files = list(paths)
    options = ["--offline", "--persona=auditor", "--format=json", "--no-exit-codes", "--strict-collection"]
    command = [_program("zizmor"), *options, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0, done.stderr
    read = re.findall(r"completed (\S+)", done.stderr)
    found = []
    for item in json.loads(done.stdout):
        place = item["locations"][0]["concrete"]["location"]["start_point"]
        name = item["locations"][0]["symbolic"]["key"]["Local"]["verbatim_path"]
        found.append(_finding("zizmor", root, name, item["ident"], place["row"] + 1, item["desc"]))
    return Report(len(read), tuple(found))


def secrets(paths: Iterable[Path], root: Path = project.ROOT) -> Report:
    """Have detect-secrets read any text; it does not ask anybody whether a secret is a real one."""
    from detect_secrets.core.scan import scan_file
    from detect_secrets.settings import default_settings

    read, found = 0, []
    with default_settings():
        for path in paths:
            read += 1
            for item in scan_file(str(path)):
                if item.type not in PASSWORDS or not item.filename.startswith(
                    tuple(f"{root}/{name}" for name in MADE_UP)
                ):
                    found.append(_finding("detect-secrets", root, str(path), item.type, item.line_number, "a secret"))
    return Report(read, tuple(dict.fromkeys(found)))


def _program(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _finding(tool: str, root: Path, name: str, rule: str, line: int, said: str) -> Finding:
    path = root / name
    lines = path.read_text(errors="replace").splitlines()
    text = lines[line - 1] if 0 < line <= len(lines) else ""
    return Finding(tool, str(path.relative_to(root)), rule, line, text, said)


def waivers(tool: str) -> list[dict[str, Any]]:
    """Return the waivers of a tool: path, rule, text (part of the line) and reason."""
    listed = [waiver for waiver in project.load(WAIVERS) if waiver["tool"] == tool]
    for waiver in listed:
        assert set(waiver) == {"tool", "path", "rule", "text", "reason"}, waiver
        assert len(str(waiver["reason"]).split()) > 2, f"{waiver}: a reason is a sentence"
    return listed


def judged(report: Report, listed: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Return the findings that no waiver covers, and the waivers that cover none."""
    needed: set[int] = set()
    left = []
    for finding in report.findings:
        covering = {number for number, waiver in enumerate(listed) if _covers(waiver, finding)}
        needed |= covering
        if not covering:
            left.append(str(finding))
    spare = [f"{item['path']}: {item['rule']}" for number, item in enumerate(listed) if number not in needed]
    return left, spare


def _covers(waiver: dict[str, Any], finding: Finding) -> bool:
    return waiver["path"] == finding.path and waiver["rule"] == finding.rule and str(waiver["text"]) in finding.text
