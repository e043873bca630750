"""Scanners of others find no mistake of security in what we ship, and would find one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import project, scanners

PYTHON_SCRIPTS = ("script/bench", "script/test")
SKIPPED_BY_SECRETS = ("uv.lock",)  # hashes alone
WORKFLOW = """\
on: pull_request_target
jobs:
  build:
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@main
      - run: echo ${{ github.event.pull_request.title }}
"""


def python() -> list[Path]:
    """Return all Python that runs somewhere: on the laptop, on a server, or as the example."""
    names = ("windlass/", "plugins/", "roles/", "molecule/", "tests/support/", "examples/guestbook/guestbook/")
    found = [
        path
        for path in project.files()
        if project.shown(path) in PYTHON_SCRIPTS
        or (path.suffix == ".py" and project.shown(path).startswith(names))
        or (path.suffix == ".py" and path.parent == project.ROOT)
    ]
    assert len(found) > 100
    return found


def texts() -> list[Path]:
    """Return all text that is in version control."""
    found = [path for path in project.files() if path.name not in SKIPPED_BY_SECRETS]
    assert len(found) > 300
    return found


def refuse(report: scanners.Report, tool: str, expected: int) -> None:
    """Fail with what is left of a report."""
    assert report.looked_at == expected, f"{tool} looked at {report.looked_at} of {expected} files"
    left, spare = scanners.judged(report, scanners.waivers(tool))
    assert not left, "\n".join(left)
    assert not spare, f"waivers that cover nothing: {spare}"


def test_bandit_finds_nothing_in_our_python():
    paths = python()
    refuse(scanners.bandit(paths), "bandit", len(paths))


def test_zizmor_finds_nothing_in_the_workflow_that_one_copies():
    workflows = [project.ROOT / "docs" / "pipelines" / "github-actions.yml"]
    workflows += sorted((project.ROOT / ".github" / "workflows").glob("*.yml"))
    refuse(scanners.zizmor(workflows), "zizmor", len(workflows))


def test_detect_secrets_finds_nothing_in_what_is_in_version_control():
    paths = texts()
    refuse(scanners.secrets(paths), "detect-secrets", len(paths))


def test_bandit_finds_what_is_planted(tmp_path: Path):
    bad = tmp_path / "bad.py"
    bad.write_text("import hashlib\nimport subprocess\n\nsubprocess.call('ls ' + input(), shell=True)\n")
    (tmp_path / "good.py").write_text("A = 1\n")
    report = scanners.bandit([bad, tmp_path / "good.py"], tmp_path)
    assert report.looked_at == 2
    assert [(finding.path, finding.rule, finding.line) for finding in report.findings] == [("bad.py", "B602", 4)]


def test_zizmor_finds_what_is_planted(tmp_path: Path):
    bad = tmp_path / "bad.yml"
    bad.write_text(WORKFLOW)
    report = scanners.zizmor([bad], tmp_path)
    assert report.looked_at == 1
    assert {"dangerous-triggers", "template-injection", "unpinned-uses"} <= {item.rule for item in report.findings}


def test_detect_secrets_finds_what_is_planted(tmp_path: Path):
    begin = "-----BEGIN " + "RSA PRIVATE KEY-----"
    planted = {
        "key.pem": f"{begin}\nMIIEpAIBAAKCAQEA\n",
        "url.yml": "url: postgresql://guestbook:" + "hunter2x9q" + "@203.0.113.9/guestbook\n",
        "cloud.env": "AWS=" + "AKIA" + "QYLPMN5HFIQR7XYA" + "\n",
    }
    for name, text in planted.items():
        (tmp_path / name).write_text(text)
    report = scanners.secrets(sorted(tmp_path.iterdir()), tmp_path)
    assert report.looked_at == len(planted)
    assert {finding.path for finding in report.findings} == set(planted)
    assert not any("hunter2" in str(finding) for finding in report.findings)


@pytest.mark.parametrize("text", ["other words", ""])
def test_a_waiver_covers_its_line_alone_and_is_refused_when_it_covers_none(text: str):
    finding = scanners.Finding("bandit", "a.py", "B602", 1, "call('ls', shell=True)", "shell")
    waiver = {"tool": "bandit", "path": "a.py", "rule": "B602", "text": text, "reason": "it is a test of ours"}
    left, spare = scanners.judged(scanners.Report(1, (finding,)), [waiver])
    assert (left == [], spare == []) == ((True, True) if text == "" else (False, False))
