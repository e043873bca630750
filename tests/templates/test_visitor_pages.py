"""Whose words, look and pages a visitor gets when nginx itself answers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.support import project
from tests.support.pages import pages, unknown

NAMES = ["404", "429", "502", "503", "504", "maintenance"]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return the folder for the owner's pages, beside hosts.yml."""
    folder = tmp_path / "pages"
    folder.mkdir()
    return folder


def test_without_pages_of_the_owner_there_are_ours(tmp_path: Path):
    made = pages(tmp_path)
    words = yaml.safe_load((project.ROOT / "templates" / "pages" / "words.yml").read_text())["pages"]
    assert list(made) == NAMES
    for name, text in made.items():
        assert f"<h1>{words[name]['title']}</h1>" in text
        assert words[name]["text"] in text


def test_a_page_needs_nothing_that_is_not_in_it(tmp_path: Path):
    for text in pages(tmp_path).values():
        assert not re.search(r"<script|\son\w+=|https?:|@import|url\(", text)
        assert set(re.findall(r'(?:href|src)="([^"]*)"', text)) <= {"", "/", "data:,"}
        assert len(text.encode()) < 5000


def test_words_of_the_owner_take_the_place_of_ours_one_by_one(own: Path):
    own.joinpath("words.yml").write_text("lang: de\npages:\n  '404': {title: 'Hier ist <nichts> & niemand'}\n")
    made = pages(own.parent)
    assert '<html lang="de">' in made["404"]
    assert "<h1>Hier ist &lt;nichts&gt; &amp; niemand</h1>" in made["404"]
    assert "may be mistyped" in made["404"]
    assert "We will be right back" in made["maintenance"]


def test_a_page_of_the_owner_is_taken_as_it_is(own: Path):
    text = "<!doctype html>\n<title>Zu</title><style>a{#b}{{ c }}{% d %}</style>\n\n"
    own.joinpath("maintenance.html").write_text(text)
    made = pages(own.parent)
    assert made["maintenance"] == text
    assert "There is no page here" in made["404"]


def test_a_page_may_be_for_one_app_alone(own: Path):
    own.joinpath("guestbook.404.html").write_text("no such message")
    made = pages(own.parent)
    assert list(made) == [*NAMES, "guestbook.404"]
    assert made["guestbook.404"] == "no such message"
    assert "There is no page here" in made["404"]


def test_the_look_of_all_pages_may_be_the_owners(own: Path):
    own.joinpath("page.html.j2").write_text("<h1>{{ page.title }}</h1> {{ page.name }}")
    assert pages(own.parent)["504"] == "<h1>This took too long</h1> 504"


def test_the_folder_may_lie_elsewhere(own: Path, tmp_path: Path):
    own.joinpath("404.html").write_text("elsewhere")
    assert pages(project.ROOT, nginx_pages=str(own))["404"] == "elsewhere"


def test_what_would_never_be_shown_is_refused(own: Path):
    for name in ("page.html.j2", "404.html", "guestbook.404.html", "second-app.maintenance.html"):
        own.joinpath(name).write_text("")
    own.joinpath("words.yml").write_text("lang: de\npages: {'404': {title: Nichts}}\n")
    assert unknown(own.parent) == []
    for name in ("400.html", "guestbok.404.html", "404.htm"):
        own.joinpath(name).write_text("")
    own.joinpath("words.yml").write_text("language: de\npages: {'404': {titel: Nichts}, '418': {title: Tee}}\n")
    assert sorted(unknown(own.parent)) == ["400.html", "404.htm", "418", "guestbok.404.html", "language", "titel"]
