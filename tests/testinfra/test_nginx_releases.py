"""nginx between two releases: the files of the one before, and connections that are kept."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from testinfra.host import Host
from visitor import Ask

from tests.support.playbook import play

BEFORE = b"/* the release before */\n"


@contextmanager
def green_live(host: Host) -> Iterator[None]:
    """Switch `kept` to green, as the release program does."""
    host.check_output("touch /run/kept/live/green")
    try:
        yield
    finally:
        host.check_output("rm /run/kept/live/green")


def test_a_file_that_only_the_release_before_has_goes_on_being_served(ask: Ask):
    hashed, plain = ask("/static/style.fedcba98.css"), ask("/static/gone.css")
    assert (hashed.status, hashed.body) == (plain.status, plain.body) == (200, BEFORE)
    assert hashed.headers["content-type"] == plain.headers["content-type"] == "text/css"
    assert plain.headers["cache-control"] == "max-age=600"
    assert int(hashed.headers["cache-control"].partition("=")[2]) > 10_000_000
    assert hashed.headers["x-content-type-options"] == "nosniff"
    assert ask("/static/gone.css", headers={"If-None-Match": plain.headers["etag"]}).status == 304


def test_a_file_that_both_have_is_that_of_the_live_release(ask: Ask):
    answer = ask("/static/style.css")
    assert answer.status == 200
    assert answer.body != BEFORE


def test_a_file_that_neither_has_is_the_apps_to_answer_with_the_address_as_it_was_sent(ask: Ask):
    for path in ("/static/none.css?v=1%202", "/static/a%2Fb%20c/./d.css", "/static/"):
        assert ask(path).json()["path"] == path


@pytest.mark.parametrize(
    "path",
    [
        "/static/.hidden",
        "/static/../../../zero/assets/gone.css",
        "/static/%2e%2e/assets/gone.css",
        "/static../gone.css",
    ],
)
def test_nothing_else_of_the_release_before_is_served(ask: Ask, path: str):
    assert BEFORE not in ask(path).body


def test_without_a_release_before_the_app_answers(host: Host, ask: Ask):
    host.check_output("mv /srv/shop/previous /srv/shop/kept-away")
    try:
        assert ask("/static/style.css").status == 200
        assert ask("/static/gone.css").json()["path"] == "/static/gone.css"
    finally:
        host.check_output("mv /srv/shop/kept-away /srv/shop/previous")


def test_files_at_the_root_leave_the_rest_to_the_app(ask: Ask):
    assert ask("/style.css", name="kept.test").headers["content-type"] == "text/css"
    assert ask("/page?q=1", name="kept.test").json()["path"] == "/page?q=1"
    assert ask("/", name="kept.test").json()["path"] == "/"


def test_connections_to_the_app_are_kept_only_where_the_entry_asks_for_it(ask: Ask):
    kept = [ask(name="kept.test").json() for _ in range(12)]
    assert len({answer["connection"] for answer in kept}) < len(kept)
    assert "connection" not in kept[0]["headers"]
    new = [ask().json() for _ in range(12)]
    assert len({answer["connection"] for answer in new}) == len(new)
    assert new[0]["headers"]["connection"] == "close"


def test_the_next_request_meets_the_colour_that_a_file_says_is_live(host: Host, ask: Ask):
    assert {ask(name="kept.test").json()["colour"] for _ in range(8)} == {"blue"}
    with green_live(host):
        assert {ask(name="kept.test").json()["colour"] for _ in range(8)} == {"green"}
    assert {ask(name="kept.test").json()["colour"] for _ in range(8)} == {"blue"}


def test_a_colour_that_starts_again_is_not_asked_on_its_old_connections(host: Host, ask: Ask):
    for _ in range(8):
        assert ask(name="kept.test").status == 200
    host.check_output(
        "systemctl restart echo@kept-blue; until [ -S /run/kept/blue.sock ]; do sleep 0.1; done; sleep 0.5"
    )
    assert {ask(name="kept.test", method="POST", body=b"pay").status for _ in range(8)} == {200}


def test_a_post_that_broke_off_is_not_sent_again_on_a_kept_connection_either(ask: Ask):
    before = ask(name="kept.test").json()["seen"].get("POST /dies", 0)
    assert ask("/dies", name="kept.test", method="POST", body=b"pay").status == 502
    assert ask(name="kept.test").json()["seen"]["POST /dies"] == before + 1


def test_websockets_still_ask_for_an_upgrade_where_connections_are_kept(ask: Ask):
    headers = {"Upgrade": "other", "Connection": "Upgrade"}
    assert ask(name="kept.test", headers=headers).json()["headers"]["connection"] == "upgrade"


# An addition of the owner, which no run of ours wrote.


INSTALLS = "nginx : Have systemd start nginx again after a crash"


def converge(inventory: Path, *arguments: str, start: str = INSTALLS) -> subprocess.CompletedProcess[str]:
    """Run the scenario's playbook again, from where the configuration is installed."""
    return play(inventory, "--start-at-task", start, *arguments, playbook="molecule/nginx/converge.yml")


@pytest.fixture
def broken(host: Host) -> Iterator[str]:
    """Leave an invalid file among the owner's additions; return its path."""
    path = "/etc/nginx/apps/shop/broken.conf"
    host.check_output(f"mkdir -p /etc/nginx/apps/shop && echo 'no_such_directive on;' > {path}")
    yield path
    host.check_output(f"rm -f {path}; /usr/local/sbin/windlass-nginx reload")


def test_a_run_says_so_when_an_addition_is_invalid_and_the_old_configuration_serves(
    host: Host, ask: Ask, inventory: Path, broken: str
):
    before = host.file("/etc/nginx/nginx.conf").sha256sum
    for change in ([], ["-e", '{"nginx_hsts_seconds": 100}']):
        done = converge(inventory, *change)
        assert done.returncode != 0
        assert "no_such_directive" in done.stdout + done.stderr
        assert broken in done.stdout + done.stderr
        assert host.file("/etc/nginx/nginx.conf").sha256sum == before
        answer = ask()
        assert answer.status == 200
        assert answer.headers["strict-transport-security"] == "max-age=63072000"
    host.check_output(f"echo 'location = /fine {{ return 204; }}' > {broken}")
    done = converge(inventory)
    assert re.search(r"changed=0 +unreachable=0 +failed=0", done.stdout), done.stdout[-3000:]
    host.check_output("/usr/local/sbin/windlass-nginx reload")
    assert ask("/fine").status == 204
