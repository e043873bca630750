"""What nginx itself answers: the pages of errors, and maintenance mode."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from testinfra.host import Host
from visitor import Ask, by_http

AS_PROGRAM = {"Accept": "application/json, text/plain, */*"}
# Asks the server from the server, with an address of its choice: prints the status.
FROM = """
import http.client, socket, ssl, sys
source, target = sys.argv[1:]
context = ssl._create_unverified_context()
connection = http.client.HTTPSConnection("shop.test", timeout=10)
plain = socket.create_connection((target, 443), 10, (source, 0))
connection.sock = context.wrap_socket(plain, server_hostname="shop.test")
connection.request("GET", "/")
print(connection.getresponse().status)
"""


@contextmanager
def maintenance(host: Host, app: str = "shop") -> Iterator[None]:
    """Turn maintenance mode on, as the release program does."""
    flag = f"/etc/windlass/maintenance/{app}"
    host.check_output(f"mkdir -p -m 0755 /etc/windlass/maintenance && touch {flag}")
    try:
        yield
    finally:
        host.check_output(f"rm {flag}")


@pytest.fixture(scope="module")
def addresses(host: Host) -> Iterator[None]:
    """Give the server more addresses, to be asked from."""
    more = ["198.51.100.7/32", "198.51.100.8/32", "203.0.113.200/32", "2001:db8:5::1/128", "2001:db8:6::1/128"]
    for one in more:
        host.check_output(f"ip addr add {one} dev lo")
    yield
    for one in more:
        host.check_output(f"ip addr del {one} dev lo")


def asked_from(host: Host, source: str, target: str) -> int:
    """Return the status that the server gives to an address of its own."""
    return int(host.check_output(shlex.join(["python3", "-W", "ignore", "-c", FROM, source, target])))


def test_in_maintenance_mode_a_visitor_gets_the_page_and_is_told_when_to_come_again(host: Host, ask: Ask):
    with maintenance(host):
        for method, body in (("GET", None), ("POST", b"x=1"), ("HEAD", None)):
            answer = ask("/some/page", method=method, body=body)
            assert answer.status == 503
            assert int(answer.headers["retry-after"]) > 0
            assert answer.headers["content-type"] == "text/html"
            assert answer.headers["cache-control"] == "no-cache"
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert (b"<h1>We will be right back</h1>" in answer.body) == (method != "HEAD")
    assert ask("/some/page").status == 200


def test_the_app_sees_no_visitor_in_maintenance_mode(host: Host, ask: Ask):
    seen = ask().json()["seen"].get("POST /closed", 0)
    with maintenance(host):
        assert ask("/closed", method="POST", body=b"pay").status == 503
        assert ask("/static/style.css").status == 503
    assert ask().json()["seen"].get("POST /closed", 0) == seen


def test_maintenance_mode_of_one_app_leaves_the_others_alone(host: Host, ask: Ask):
    with maintenance(host):
        assert ask(name="kept.test").status == 200


def test_a_program_is_told_in_json(host: Host, ask: Ask):
    with maintenance(host):
        answer = ask("/api", headers=AS_PROGRAM)
        assert (answer.status, answer.json()) == (503, {"status": 503, "error": "maintenance"})
        assert answer.headers["content-type"] == "application/json"
        assert "accept" in answer.headers["vary"].lower()
        assert int(answer.headers["retry-after"]) > 0
    answer = ask(name="empty.test", headers=AS_PROGRAM)
    assert (answer.status, answer.json()) == (503, {"status": 503, "error": "not-deployed"})
    answer = ask("/static/.secret", headers=AS_PROGRAM)
    assert (answer.status, answer.json()) == (404, {"status": 404, "error": "not-found"})


def test_challenges_go_on_in_maintenance_mode(host: Host, address: str):
    directory = "/var/www/acme/.well-known/acme-challenge"
    host.check_output(f"mkdir -p {directory} && echo proof > {directory}/test-closed")
    try:
        with maintenance(host):
            answer = by_http(address, "shop.test", "/.well-known/acme-challenge/test-closed")
            assert (answer.status, answer.body) == (200, b"proof\n")
            assert by_http(address, "shop.test", "/page").status == 301
    finally:
        host.check_output(f"rm {directory}/test-closed")


@pytest.mark.parametrize(
    ("source", "target", "status"),
    [
        ("127.0.0.1", "127.0.0.1", 200),
        ("::1", "::1", 200),
        ("198.51.100.7", "127.0.0.1", 200),
        ("203.0.113.200", "127.0.0.1", 200),
        ("2001:db8:5::1", "::1", 200),
        ("198.51.100.8", "127.0.0.1", 503),
        ("2001:db8:6::1", "::1", 503),
        ("198.51.100.8", "198.51.100.8", 200),
    ],
    ids=["loopback", "loopback 6", "address", "network", "network 6", "other", "other 6", "own address"],
)
def test_the_server_and_those_of_the_list_are_let_through(
    host: Host, addresses: None, source: str, target: str, status: int
):
    assert asked_from(host, source, target) == 200
    with maintenance(host):
        assert asked_from(host, source, target) == status


def test_nobody_is_let_through_for_what_they_claim(host: Host, ask: Ask):
    with maintenance(host):
        for name in ("X-Forwarded-For", "X-Real-IP", "Forwarded"):
            assert ask(headers={name: "127.0.0.1"}).status == 503


def test_maintenance_mode_outlives_a_restart_of_nginx(host: Host, ask: Ask):
    with maintenance(host):
        host.check_output("systemctl restart nginx")
        assert ask().status == 503


def test_the_page_of_one_app_may_be_its_owners(host: Host, ask: Ask):
    with maintenance(host, "kept"), maintenance(host, "shop"):
        assert b"A page of its owner, {{ untouched }}." in ask(name="kept.test").body
        assert b"A page of its owner" not in ask().body


@pytest.mark.parametrize("path", ["/.windlass/maintenance.html", "/.windlass/404.json", "/.windlass/", "/.windlass/x"])
def test_the_pages_cannot_be_asked_for_by_name(host: Host, ask: Ask, path: str):
    answer = ask(path)
    assert answer.status == 404
    assert b"<h1>There is no page here</h1>" in answer.body
    with maintenance(host):
        assert b'"seen"' not in ask(path).body


def test_a_page_is_not_remembered_and_says_to_come_again_only_where_that_helps(ask: Ask):
    missing, not_there = ask("/static/.secret"), ask(name="empty.test")
    assert missing.headers["cache-control"] == not_there.headers["cache-control"] == "no-cache"
    assert "retry-after" not in missing.headers
    assert "retry-after" in not_there.headers


def test_an_answer_of_the_app_has_no_header_of_our_pages(ask: Ask):
    headers = ask().headers
    assert "retry-after" not in headers
    assert "accept" not in [name.strip().lower() for name in headers.get("vary", "").split(",")]
