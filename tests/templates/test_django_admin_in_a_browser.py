"""Django's admin under the policy that nginx sends: in Chromium, with a real Django."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.support import project
from tests.support.rendering import evaluate

ROLE = project.ROOT / "roles" / "nginx"
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
START_SECONDS = 90
PASSWORD = secrets.token_hex()


@pytest.fixture(scope="module")
def admin() -> Iterator[str]:
    """Return the address of an admin that Django serves."""
    policy = evaluate("{{ __nginx_policy | nginx_policy }}; {{ __nginx_frames }}", ROLE)
    assert "default-src 'self'" in policy
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(project.ROOT / ".venv/bin/uv"), "run", "--quiet", "--locked", "--script"]
    command += [str(project.ROOT / "tests/support/django_admin.py"), str(port), policy, PASSWORD]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as server:
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert server.poll() is None, "Django did not start"
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/admin/"
        assert server.stdin
        server.stdin.close()


@pytest.fixture(scope="module")
def said() -> list[str]:
    """Return what the browser complains of."""
    return []


@pytest.fixture(scope="module")
def tab(admin: str, said: list[str]) -> Iterator[Page]:
    """Return a tab of a browser in which the admin has logged in."""
    chromium = shutil.which("chromium")
    assert chromium, "chromium is not installed: run script/setup tests"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        page = browser.new_page()
        page.context.on(
            "console", lambda message: message.type == "error" and said.append(f"{page.url}: {message.text}")
        )
        page.context.on("weberror", lambda error: said.append(f"{page.url}: {error.error}"))
        page.goto(admin)
        page.fill("#id_username", "admin")
        page.fill("#id_password", PASSWORD)
        page.click("[type=submit]")
        assert page.locator("#user-tools").is_visible()
        yield page
        browser.close()


@pytest.mark.parametrize(
    "place", ["", "auth/user/", "auth/user/add/", "auth/group/add/", "auth/user/1/history/", "password_change/"]
)
def test_a_page_of_the_admin_breaks_no_policy(tab: Page, admin: str, said: list[str], place: str):
    said.clear()
    tab.goto(f"{admin}{place}")
    assert tab.locator("#content").is_visible()
    assert said == []


def test_its_scripts_run(tab: Page, admin: str, said: list[str]):
    said.clear()
    tab.goto(f"{admin}auth/user/1/change/")
    assert tab.locator(".selector-chooser, .selector-available").count() > 0
    tab.locator(".date-icon, .datetimeshortcuts a").first.click()
    assert tab.locator(".calendarbox:visible, .clockbox:visible").count() > 0 or tab.input_value("#id_last_login_0")
    assert said == []


def test_its_windows_hand_back_what_was_made_in_them(tab: Page, admin: str, said: list[str]):
    said.clear()
    tab.goto(f"{admin}auth/user/1/change/")
    with tab.expect_popup() as opened:
        tab.click("#add_id_groups")
    window = opened.value
    window.fill("#id_name", "editors")
    with window.expect_event("close"):
        window.click("[name=_save]")
    tab.wait_for_selector("#id_groups_to option:has-text('editors')", state="attached")
    assert said == []


def test_a_script_in_a_page_would_have_been_stopped(tab: Page, admin: str, said: list[str]):
    said.clear()
    tab.goto(admin)
    tab.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=alert(1)>')")
    tab.wait_for_timeout(300)
    assert any("Content Security Policy" in line for line in said)
