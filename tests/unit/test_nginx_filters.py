"""What the filters make of an app's entry for nginx's configuration."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
POLICY = {"default-src": "'self'", "img-src": "'self' data:"}


@pytest.fixture(scope="module")
def filters() -> ModuleType:
    """Return the plugin's module."""
    spec = importlib.util.spec_from_file_location("windlass_nginx_filters", ROOT / "plugins/filter/nginx.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RELEASES = ["current", "previous"]


def test_a_served_folder_is_named_from_the_release(filters: ModuleType) -> None:
    assert filters.nginx_static({"directory": "src", "static": {"/static": "app/static/"}}) == [
        {"prefix": "/static/", "place": "src/app/static", "tops": RELEASES}
    ]


@pytest.mark.parametrize("prefix", ["/", "", "//"])
def test_the_root_is_a_prefix_too(filters: ModuleType, prefix: str) -> None:
    assert filters.nginx_static({"static": {prefix: "public"}})[0]["prefix"] == "/"


@pytest.mark.parametrize("directory", [".", "src"])
def test_a_shared_folder_and_what_is_below_it_are_served_from_where_they_lie(
    filters: ModuleType, directory: str
) -> None:
    served = {"/media/": "media", "/thumbs/": "media/thumbs"}
    found = filters.nginx_static({"directory": directory, "shared": ["media"], "static": served})
    assert [(folder["place"], folder["tops"]) for folder in found] == [
        ("media", ["shared"]),
        ("media/thumbs", ["shared"]),
    ]


def test_a_shared_folder_below_a_served_one_has_an_entry_of_its_own(filters: ModuleType) -> None:
    app = {"directory": "src", "shared": ["static/up/loads", "data"], "static": {"/s": "static"}}
    assert filters.nginx_static(app) == [
        {"prefix": "/s/", "place": "src/static", "tops": RELEASES},
        {"prefix": "/s/up/loads/", "place": "static/up/loads", "tops": ["shared"]},
    ]


def test_who_serves_the_whole_release_names_the_shared_folders_that_are_public(filters: ModuleType) -> None:
    app = {"shared": ["instance", "media"], "static": {"/": ".", "/media": "media"}}
    assert filters.nginx_static(app) == [
        {"prefix": "/", "place": ".", "tops": RELEASES},
        {"prefix": "/media/", "place": "media", "tops": ["shared"]},
    ]


def test_a_folder_whose_name_only_begins_alike_is_not_the_shared_one(filters: ModuleType) -> None:
    (found,) = filters.nginx_static({"shared": ["media"], "static": {"/m/": "media-of-ours"}})
    assert found["tops"] == RELEASES


def test_without_a_word_of_the_owner_no_header_differs(filters: ModuleType) -> None:
    assert filters.nginx_headers({}, POLICY) == {}


def test_a_directive_of_the_owner_takes_the_place_of_the_default_one(filters: ModuleType) -> None:
    app = {"content_security_policy": {"img-src": "*", "upgrade-insecure-requests": ""}}
    assert filters.nginx_headers(app, POLICY) == {
        "Content-Security-Policy": "default-src 'self'; img-src *; upgrade-insecure-requests"
    }


def test_who_may_frame_an_app_is_said_once(filters: ModuleType) -> None:
    app = {"content_security_policy": {"frame-ancestors": "'self'"}}
    assert filters.nginx_headers(app, POLICY)["X-Frame-Options"] == ""
    whole = {"headers": {"Content-Security-Policy": "default-src 'self'; frame-ancestors https://other.test"}}
    assert filters.nginx_headers(whole, POLICY)["X-Frame-Options"] == ""


def test_a_header_of_the_owner_is_taken_as_it_is(filters: ModuleType) -> None:
    app = {"headers": {"Content-Security-Policy": "", "Referrer-Policy": "no-referrer"}}
    assert filters.nginx_headers(app, POLICY) == {"Content-Security-Policy": "", "Referrer-Policy": "no-referrer"}


def test_a_text_is_quoted_for_nginx(filters: ModuleType) -> None:
    assert filters.nginx_text('a "b" \\') == '"a \\"b\\" \\\\"'
