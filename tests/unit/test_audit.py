"""The audit of the lock finds what is known to be bad, and does not pass when it could not look."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tests.support import audit, project

KNOWN = {"id": "PYSEC-2026-1", "modified": "2026-01-01T00:00:00Z", "summary": "templates run code"}


class Osv(HTTPServer):
    """A database of vulnerabilities that knows one package as bad, or answers with an error."""

    bad = ""
    broken = False
    asked: int = 0


class Answers(BaseHTTPRequestHandler):
    """What OSV's interface answers."""

    server: Osv

    def log_message(self, *_: Any) -> None:
        """Print nothing."""

    def do_POST(self) -> None:
        """Answer for a list of packages."""
        queries = json.loads(self.rfile.read(int(self.headers["content-length"])))["queries"]
        self.server.asked += len(queries)
        known = [{"id": KNOWN["id"], "modified": KNOWN["modified"]}]
        self._say(
            {"results": [{"vulns": known} if item["package"]["name"] == self.server.bad else {} for item in queries]}
        )

    def do_GET(self) -> None:
        """Answer for one entry."""
        self._say(KNOWN)

    def _say(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(503 if self.server.broken else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def osv() -> Iterator[Osv]:
    """Return the database, listening."""
    server = Osv(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def ask(osv: Osv) -> tuple[int, list[str]]:
    """Audit the project's own lock against it."""
    return audit.audit(project.ROOT, f"http://127.0.0.1:{osv.server_port}/")


def test_a_lock_with_nothing_known_passes_and_says_how_much_was_looked_at(osv: Osv):
    status, lines = ask(osv)
    assert (status, lines) == (0, [f"{osv.asked} packages, nothing known"])
    assert osv.asked > 50


def test_a_package_that_is_known_to_be_bad_fails_with_its_name(osv: Osv):
    osv.bad = "jinja2"
    status, lines = ask(osv)
    assert status == 1
    assert [line for line in lines if line.startswith("jinja2 ") and "PYSEC-2026-1" in line] == lines


def test_without_an_answer_it_is_not_verified(osv: Osv):
    osv.broken = True
    status, lines = ask(osv)
    assert status == audit.NOT_VERIFIED, lines
    assert lines[0].startswith("not verified: ")


def test_a_lock_that_cannot_be_read_fails(osv: Osv, tmp_path: Any):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "a"\nversion = "1"\nrequires-python = ">=3.11"\n')
    (tmp_path / "uv.lock").write_text("no lock\n")
    status, lines = audit.audit(tmp_path, f"http://127.0.0.1:{osv.server_port}/")
    assert status == 1, lines


def test_an_audit_of_nothing_fails():
    empty = {"summary": {"audited_packages": 0}, "vulnerabilities": [], "adverse_statuses": []}
    assert audit.judged(empty, 0)[0] == 1


def test_an_audit_of_no_lock_fails(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.argv", ["audit"])
    assert audit.main() == 1


def test_script_test_counts_what_could_not_look_as_skipped_and_names_it():
    loader = importlib.machinery.SourceFileLoader("script_test", str(project.ROOT / "script" / "test"))
    spec = importlib.util.spec_from_loader("script_test", loader)
    assert spec
    script = importlib.util.module_from_spec(spec)
    sys.modules["script_test"] = script
    loader.exec_module(script)
    step = next(step for step in script.quick_steps() if "tests.support.audit" in step.command)
    tally = script.Tally()
    for status in (0, 1, audit.NOT_VERIFIED):
        tally.add_step(step, status)
    assert (tally.passed, tally.failed, tally.skipped) == (1, 1, 1)
    assert tally.not_verified == [step.title]
