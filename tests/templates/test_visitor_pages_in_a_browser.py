"""The error and maintenance pages as visitors see them: in Chromium, wide and narrow, light and dark."""

from __future__ import annotations

import itertools
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.support import project
from tests.support.pages import pages

NAMES = ["404", "429", "502", "503", "504", "maintenance"]
# 320 pixels is also what is left of 1280 for somebody who enlarges four times.
SCREENS = {"wide": (1280, 800), "narrow": (320, 568)}
SCHEMES = ("light", "dark")
SCREENSHOTS = project.ROOT / ".cache" / "screenshots"
# Without them Chromium looks for Google's hosts at every start.
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
QUIET += ["--disable-component-update", "--disable-sync"]
STRICT = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
every_page = pytest.mark.parametrize("name", NAMES)
every_view = pytest.mark.parametrize(("screen", "scheme"), list(itertools.product(SCREENS, SCHEMES)))

# For each element with text of its own: the text, its colour, the first opaque colour behind it, and its rectangle.
LOOK = """() => [...document.querySelectorAll('body, body *')].map(element => {
  const text = [...element.childNodes].filter(node => node.nodeType === 3).map(node => node.data.trim()).join('');
  const colour = value => value.match(/[\\d.]+/g).map(Number);
  let behind = element;
  while (behind && colour(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
  const box = element.getBoundingClientRect();
  return {
    name: element.tagName, text, left: box.left, right: box.right,
    clipped: element.scrollWidth > element.clientWidth + 1 && getComputedStyle(element).display !== 'inline',
    colour: colour(getComputedStyle(element).color),
    behind: behind ? colour(getComputedStyle(behind).backgroundColor) : [255, 255, 255],
  };
})"""


@dataclass
class Site:
    """The pages, served under a strict policy, and what was asked for."""

    pages: dict[str, str]
    address: str = ""
    asked: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    made = Site(pages(tmp_path_factory.mktemp("inventory")))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            made.asked.append(self.path)
            body = made.pages.get(self.path.removeprefix("/"), "the start page").encode()
            self.send_response(200)
            for name, value in {
                "Content-Type": "text/html",
                "Content-Security-Policy": STRICT,
                "Content-Length": str(len(body)),
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.address = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield made
        server.shutdown()


@pytest.fixture(scope="module")
def tab() -> Iterator[Page]:
    """Return a tab of a browser that all tests share: each opens what it looks at."""
    chromium = shutil.which("chromium")
    assert chromium, "chromium is not installed: run script/setup tests"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        yield browser.new_page()
        browser.close()


@contextmanager
def opened(tab: Page, site: Site, name: str, screen: str = "wide", scheme: str = "light") -> Iterator[Page]:
    """Open a page, and leave a picture of it behind if a check fails."""
    width, height = SCREENS[screen]
    tab.set_viewport_size({"width": width, "height": height})
    tab.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    tab.goto(f"{site.address}/{name}")
    try:
        yield tab
    except BaseException:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        tab.screenshot(path=SCREENSHOTS / f"{name}-{screen}-{scheme}.png", full_page=True)
        raise


def luminance(colour: list[float]) -> float:
    """Return the relative luminance of a colour (WCAG 2.2)."""
    parts = [value / 255 for value in colour[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: list[float], other: list[float]) -> float:
    """Return the contrast ratio of two colours (WCAG 2.2), 1 to 21."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_contrast_of_known_colours():
    assert contrast([0, 0, 0], [255, 255, 255]) == pytest.approx(21)
    assert contrast([119, 119, 119], [255, 255, 255]) == pytest.approx(4.48, abs=0.01)


@every_page
@every_view
def test_a_page_fits_its_screen_and_can_be_read_light_or_dark(
    tab: Page, site: Site, name: str, screen: str, scheme: str
):
    width, height = SCREENS[screen]
    with opened(tab, site, name, screen, scheme) as page:
        found = page.evaluate(LOOK)
        texts = [item for item in found if item["text"]]
        assert len(texts) >= 3
        assert [item for item in found if item["left"] < 0 or item["right"] > width or item["clipped"]] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("document.documentElement.scrollHeight") <= height
        pale = [(item["text"], contrast(item["colour"], item["behind"])) for item in texts]
        assert [item for item in pale if item[1] < 4.5] == []
        behind = [luminance(item["behind"]) for item in found if item["name"] in ("BODY", "MAIN")]
        assert all(value > 0.8 if scheme == "light" else value < 0.1 for value in behind)


@every_page
def test_a_page_says_what_it_is_in_title_heading_and_language(tab: Page, site: Site, name: str):
    with opened(tab, site, name) as page:
        assert page.locator("h1").count() == 1
        assert page.title() == page.locator("h1").inner_text() != ""
        assert page.locator("html").get_attribute("lang") == "en"
        assert page.locator("main").count() == 1


@every_page
def test_a_page_asks_for_nothing_else_and_breaks_no_policy(tab: Page, site: Site, name: str):
    with opened(tab, site, "404") as page:
        before = len(site.asked)
        seen: list[str] = []
        page.on("request", lambda request: seen.append(request.url))
        page.on("console", lambda message: seen.append(message.text))
        page.goto(f"{site.address}/{name}")
        assert [text for text in seen if not text.startswith("data:")] == [f"{site.address}/{name}"]
    assert site.asked[before:] == [f"/{name}"]


@pytest.mark.parametrize(("name", "where"), [("404", "/"), ("502", "/502"), ("maintenance", "/maintenance")])
def test_the_link_is_reached_by_keyboard_is_seen_to_be_and_leads_on(tab: Page, site: Site, name: str, where: str):
    with opened(tab, site, name) as page:
        page.keyboard.press("Tab")
        link = page.locator("a:focus-visible")
        assert link.count() == 1
        assert link.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"
        assert link.evaluate("element => parseFloat(getComputedStyle(element).outlineWidth)") >= 2
        assert link.bounding_box()["height"] >= 24  # type: ignore[index] # WCAG 2.2, target size
        with page.expect_navigation():
            page.keyboard.press("Enter")
        assert page.url == f"{site.address}{where}"
