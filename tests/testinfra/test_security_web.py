"""What the scanners of the field say of an app's front, as everybody gets it: TLS, headers, slow visitors."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import statistics
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright
from testinfra.host import Host

from tests.support import playbook, project
from tests.support.visitor import Visitor

NAME = "guestbook.test"
DEBIAN = os.environ.get("WINDLASS_DEBIAN", "trixie")
OBSERVATORY = "@mdn/mdn-http-observatory@1.4.8"
GUIDELINES = project.ROOT / "tests" / "support" / "tls_guidelines.json"
# Findings of testssl.sh that come of a CA of one's own, or say something of the scanner and not of the server.
NOT_OURS = {
    "cert_revocation": "the test CA publishes no list of what it has revoked; Let's Encrypt does",
    "engine_problem": "the scanner's own OpenSSL has no GOST",
}
LEAST_SCORE = 115
ATTACK_SECONDS = 40
ALONE_SECONDS = 10


@pytest.fixture(scope="module")
def ca(scanner: Host, address: str, inventory: Path, guestbook: Visitor) -> str:
    """Have the scanner know the app's name and the CA; return where the CA's file is there."""
    text = (inventory / "ca.pem").read_text()
    scanner.check_output("printf %%s %s > /opt/ca.pem", text)
    scanner.check_output(f"grep -q {NAME} /etc/hosts || echo '{address} {NAME}' >> /etc/hosts")
    assert scanner.run(f"curl -sS --cacert /opt/ca.pem -o /dev/null https://{NAME}/").rc == 0
    return "/opt/ca.pem"


# sslyze


def profile(name: str) -> dict[str, Any]:
    """Return one of Mozilla's profiles as sslyze reads it: with names for other programs, which it does not look at."""
    found: dict[str, Any] = json.loads(GUIDELINES.read_text())["configurations"][name]
    ciphers = {"caddy": [], "go": []} | found["ciphers"]
    # How it signs is the test CA's affair.
    signatures = [*found["certificate_signatures"], "sha256WithRSAEncryption"]
    return found | {
        "ciphers": ciphers,
        "certificate_signatures": signatures,
        "recommended_certificate_lifespan": 90,
    }


def sslyze(name: str, address: str, inventory: Path, folder: Path, domain: str = NAME) -> tuple[str, dict[str, Any]]:
    """Compare the server with a profile; return what sslyze says and the scan of the one server."""
    wanted, report = folder / "profile.json", folder / "report.json"
    wanted.write_text(json.dumps(profile(name)))
    command = [project.ROOT / ".venv/bin/uv", "run", "--quiet", "--locked", "--script"]
    command += [project.ROOT / "tests/support/sslyze_scan.py", "--custom_tls_config", wanted]
    command += ["--certinfo_ca_file", inventory / "ca.pem", "--json_out", report, f"{domain}:443{{{address}}}"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300, check=False)
    (scan,) = json.loads(report.read_text())["server_scan_results"]
    return done.stdout + done.stderr, scan


def completed(scan: dict[str, Any]) -> list[str]:
    """Return the parts of a scan that have come to a result."""
    parts = (scan["scan_result"] or {}).items()
    return [name for name, part in parts if part["status"] == "COMPLETED" and part["result"] is not None]


def test_tls_is_that_of_mozillas_intermediate_profile(
    guestbook: Visitor, address: str, inventory: Path, tmp_path: Path
):
    said, scan = sslyze("intermediate", address, inventory, tmp_path)
    assert f"{NAME}:443: OK - Compliant" in said, said
    assert scan["scan_status"] == "COMPLETED"
    assert len(completed(scan)) >= 15
    assert scan["scan_result"]["tls_1_2_cipher_suites"]["result"]["accepted_cipher_suites"]
    assert scan["scan_result"]["tls_1_3_cipher_suites"]["result"]["accepted_cipher_suites"]


def test_sslyze_would_have_told(guestbook: Visitor, address: str, inventory: Path, tmp_path: Path):
    said, _ = sslyze("modern", address, inventory, tmp_path)
    assert "FAILED - Not compliant" in said
    assert "TLS versions {'TLSv1.2'} are supported, but should be rejected" in said


# testssl.sh


@pytest.fixture(scope="module")
def testssl(scanner: Host, address: str, ca: str) -> dict[str, dict[str, str]]:
    """Return what testssl.sh finds, by what it looked for; what it could not look at it is asked once more."""
    options = f"--quiet --color 0 --warnings off --nodns min --add-ca {ca} --ip {address} --overwrite"
    found: dict[str, dict[str, str]] = {}
    for _ in range(2):
        done = scanner.run(f"timeout 900 testssl {options} --jsonfile /opt/testssl.json {NAME}:443")
        print(done.stdout[-6000:])
        found = {one["id"]: one for one in json.loads(scanner.file("/opt/testssl.json").content_string)}
        if not any(one["severity"] == "WARN" for id, one in found.items() if id not in NOT_OURS):
            break
    return found


def test_testssl_rates_the_server_a_plus(testssl: dict[str, dict[str, str]]):
    assert testssl["overall_grade"]["finding"] == "A+", [found for id, found in testssl.items() if "grade" in id]


def test_testssl_finds_nothing_that_matters(testssl: dict[str, dict[str, str]]):
    severities = Counter(found["severity"] for found in testssl.values())
    assert severities["OK"] > 40
    serious = {id: found for id, found in testssl.items() if found["severity"] not in ("OK", "INFO", "LOW", "DEBUG")}
    assert {id: found for id, found in serious.items() if id not in NOT_OURS} == {}


# The HTTP Observatory


def test_the_observatory_gives_more_than_full_marks(scanner: Host, ca: str):
    # Its own list of sites that browsers know to use HTTPS is downloaded; the names of tests are on none.
    scanner.check_output(
        "mkdir -p /opt/observatory && cd /opt/observatory && NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt"
        f" npm install --ignore-scripts --no-audit --no-fund --loglevel error {OBSERVATORY}"
        " && echo '{}' > node_modules/@mdn/mdn-http-observatory/conf/hsts-preload.json"
    )
    scan = "node /opt/observatory/node_modules/@mdn/mdn-http-observatory/src/scan.js"
    result = json.loads(scanner.check_output(f"NODE_EXTRA_CA_CERTS={ca} {scan} {NAME}"))
    assert result["scan"]["score"] >= LEAST_SCORE, result
    assert result["scan"]["statusCode"] == 200
    assert len(result["tests"]) >= 10
    assert [name for name, test in result["tests"].items() if test["pass"] is False] == []


# A browser


def test_the_guestbook_works_in_a_browser_and_breaks_no_policy(guestbook: Visitor, address: str):
    chromium = shutil.which("chromium")
    assert chromium, "chromium is not installed: run script/setup tests"
    said: list[str] = []
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-quic", f"--host-resolver-rules=MAP {NAME} {address}"]
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        page = browser.new_page(ignore_https_errors=True)
        page.on("console", lambda message: message.type == "error" and said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"https://{NAME}/")
        assert page.evaluate("document.styleSheets.length") >= 1
        page.locator("form").first.locator("input[type=text], textarea").last.fill("written in a browser")
        for empty in page.locator("form").first.locator("input[type=text]").all():
            empty.fill(empty.input_value() or "A Visitor")
        page.locator("form").first.locator("[type=submit], button").first.click()
        page.wait_for_load_state()
        assert "written in a browser" in page.content()
        assert said == []
        page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=alert(1)>')")
        page.wait_for_timeout(500)
        assert any("Content Security Policy" in line for line in said), "a violation would not have been seen"
        browser.close()


# slowhttptest


@dataclass
class Watch:
    """A visitor that asks for a page again and again, on a new connection each time."""

    visitor: Visitor
    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Watch:
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join(30)

    def _ask(self) -> None:
        while not self._stop.wait(0.05):
            began = time.monotonic()
            try:
                self.statuses[self.visitor.ask("/").status] += 1
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(str(error))
            self.seconds.append(time.monotonic() - began)

    @property
    def p99(self) -> float:
        """The time within which 99 of 100 answers had come."""
        return statistics.quantiles(self.seconds, n=100)[98]


@pytest.mark.parametrize(
    "attack",
    ["-H -i 5", "-B -i 5 -s 8192 -t POST"],
    ids=["headers that never end", "bodies that never end"],
)
def test_500_slow_visitors_slow_no_other_down(scanner: Host, ca: str, guestbook: Visitor, attack: str):
    with Watch(guestbook) as alone:
        time.sleep(ALONE_SECONDS)
    with Watch(guestbook) as watch:
        said = scanner.run(
            f"timeout {ATTACK_SECONDS + 30} slowhttptest {attack} -c 500 -r 100 -l {ATTACK_SECONDS} -x 24 -p 5"
            f" -u https://{NAME}/ 2>&1"
        ).stdout
    told = re.sub(r"\x1b\[[\d;]*m", "", said)
    opened = [sum(map(int, counts)) for counts in re.findall(r"connected: +(\d+)\s+error: +\d+\s+closed: +(\d+)", told)]
    print(
        f"{attack}: {len(watch.seconds)} requests, p99 {watch.p99:.3f} s, {alone.p99:.3f} s without, {max(opened)} slow"
    )
    assert max(opened) == 500, told[-2000:]
    assert len(watch.seconds) > 100
    assert watch.failures == []
    assert set(watch.statuses) == {200}
    assert watch.p99 < 1


# The other switches


@pytest.fixture(scope="module")
def switched(inventory: Path, released: object) -> Iterator[bool]:
    """Have the server provisioned for TLS 1.3 alone and HTTP/3, where it can; put it back."""
    provision(inventory, {"nginx_tls_profile": "modern", "nginx_http3": DEBIAN != "bookworm"})
    yield DEBIAN != "bookworm"
    provision(inventory, {})


def provision(inventory: Path, variables: dict[str, Any]) -> None:
    """Run the parts of `site.yml` that put nginx in front."""
    playbook.succeed(inventory, "--tags", "nginx,firewall", "-e", json.dumps(variables))


def test_tls_is_that_of_mozillas_modern_profile_where_it_is_asked_for(
    switched: bool, address: str, inventory: Path, tmp_path: Path
):
    said, scan = sslyze("modern", address, inventory, tmp_path)
    assert f"{NAME}:443: OK - Compliant" in said, said
    assert scan["scan_status"] == "COMPLETED"
    assert len(completed(scan)) >= 15


def test_http3_answers_through_the_firewall_where_it_is_asked_for(switched: bool, scanner: Host, ca: str):
    if not switched:
        pytest.skip("nginx of Debian 12 has no HTTP/3")
    asked = f"curl -sS --cacert {ca} --max-time 20 -D - -o /dev/null"
    assert 'alt-svc: h3=":443"' in scanner.check_output(f"{asked} https://{NAME}/")
    answer = scanner.check_output(f"{asked} --http3-only https://{NAME}/")
    assert answer.startswith("HTTP/3 200")
    assert "content-security-policy: default-src 'self'" in answer
