"""nginx, as visitors meet it."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from testinfra.host import Host
from visitor import Answer, apps, by_http, by_https, connect, trust

Ask = Callable[..., Answer]

# The scenario nginx has an app that tells what reaches it, `shop`, and one that was never deployed, `empty`.
only_with_echo = pytest.mark.skipif(
    os.environ.get("MOLECULE_SCENARIO_NAME", "nginx") != "nginx", reason="needs the app that echoes"
)


@pytest.fixture(scope="module")
def domain(inventory: Path) -> str:
    return str(apps(inventory)[0]["domains"][0])


@pytest.fixture(scope="module")
def ask(address: str, domain: str, inventory: Path) -> Ask:
    """Return a function that asks the first app by HTTPS."""
    return functools.partial(by_https, address, domain, trust(inventory))


@pytest.fixture(autouse=True)
def journal(request: pytest.FixtureRequest, host: Host) -> Iterator[None]:
    """Print the end of nginx's log beside a test that fails."""
    yield
    print(host.run("tail -n 5 /var/log/nginx/error.log; journalctl -u nginx -n 10 --no-pager").stdout)


def test_http_redirects_to_https_on_every_domain(address: str, inventory: Path) -> None:
    for app in apps(inventory):
        for name in app["domains"]:
            answer = by_http(address, name, "/some/page?q=1")
            assert answer.status == 301
            assert answer.headers["location"] == f"https://{name}/some/page?q=1"


def test_challenges_are_answered_by_http_without_a_redirect(host: Host, address: str, domain: str) -> None:
    directory = "/var/www/acme/.well-known/acme-challenge"
    host.check_output(f"mkdir -p {directory} && echo proof > {directory}/test-token")
    try:
        answer = by_http(address, domain, "/.well-known/acme-challenge/test-token")
        assert (answer.status, answer.body) == (200, b"proof\n")
    finally:
        host.check_output(f"rm {directory}/test-token")


def test_an_unknown_name_gets_no_answer_by_http(address: str) -> None:
    with pytest.raises((ConnectionError, OSError)):
        by_http(address, "unknown.invalid")


def test_an_unknown_name_gets_no_certificate(address: str) -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for name in ("unknown.invalid", address):
        with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name|handshake"):
            connect(address, name, context)


def test_ipv6_is_served_too(host: Host, domain: str, inventory: Path) -> None:
    words = host.check_output("ip -6 -oneline addr show scope global").split()
    ipv6 = words[words.index("inet6") + 1].partition("/")[0]
    assert by_http(ipv6, domain).status == 301
    assert by_https(ipv6, domain, trust(inventory)).status < 504


def test_http2_is_offered(address: str, domain: str, inventory: Path) -> None:
    context = trust(inventory)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with connect(address, domain, context) as connection:
        assert connection.selected_alpn_protocol() == "h2"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    ("version", "accepted"),
    [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)],
)
def test_only_tls_1_2_and_1_3_are_spoken(
    address: str, domain: str, inventory: Path, version: ssl.TLSVersion, accepted: bool
) -> None:
    context = trust(inventory)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    if accepted:
        connect(address, domain, context).close()
    else:
        with pytest.raises(ssl.SSLError):
            connect(address, domain, context)


def test_answers_carry_the_security_headers_once_and_hide_the_version(ask: Ask) -> None:
    answer = ask()
    assert answer.headers["strict-transport-security"] == "max-age=63072000"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"]
    assert answer.headers["server"] == "nginx"
    assert answer.times is not None
    assert max(answer.times[name] for name in ("strict-transport-security", "referrer-policy")) == 1


def test_nginx_is_back_within_5_seconds_when_it_is_killed(host: Host, address: str, domain: str) -> None:
    host.check_output("kill -9 $(cat /run/nginx.pid)")
    deadline = time.monotonic() + 5
    while True:
        try:
            assert by_http(address, domain).status == 301
            break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_nginx_starts_at_boot(host: Host) -> None:
    assert host.service("nginx").is_enabled


def test_an_invalid_configuration_is_not_taken_and_the_old_one_serves(host: Host, address: str, domain: str) -> None:
    host.check_output("echo 'no_such_directive on;' > /etc/nginx/conf.d/broken.conf")
    try:
        assert host.run("/usr/local/sbin/windlass-nginx reload").rc != 0
        assert by_http(address, domain).status == 301
    finally:
        host.check_output("rm /etc/nginx/conf.d/broken.conf")


def test_a_reload_that_nginx_refuses_while_it_runs_is_not_reported_as_done(
    host: Host, address: str, domain: str
) -> None:
    # Valid by `nginx -t`, but the running master cannot change the size of shared memory in use.
    host.check_output(
        "sed -i.kept s/shared:windlass:10m/shared:windlass:9m/ /etc/nginx/nginx.conf"
        " && echo 'server { listen 127.0.0.1:22; }' > /etc/nginx/conf.d/taken.conf"
    )
    try:
        assert host.run("/usr/local/sbin/windlass-nginx reload").rc != 0
        assert by_http(address, domain).status == 301
    finally:
        host.check_output("mv /etc/nginx/nginx.conf.kept /etc/nginx/nginx.conf; rm /etc/nginx/conf.d/taken.conf")
        host.check_output("/usr/local/sbin/windlass-nginx reload")


def test_a_reload_is_done_only_when_no_old_worker_takes_connections(host: Host) -> None:
    host.check_output("kill -STOP $(pgrep -o -f '^nginx: worker process$')")
    try:
        assert host.run("timeout 2 /usr/local/sbin/windlass-nginx reload").rc == 124
    finally:
        host.check_output("pkill -CONT -f '^nginx: worker process$'")
    host.check_output("/usr/local/sbin/windlass-nginx reload")


@only_with_echo
def test_before_the_first_deploy_a_visitor_is_told_so(address: str, inventory: Path) -> None:
    for method in ("GET", "POST"):
        answer = by_https(address, "empty.test", trust(inventory), method=method)
        assert answer.status == 503
        assert b"<h1>Nothing is deployed here yet" in answer.body
        assert b"<h1>The site does not answer" not in answer.body
        assert answer.headers["x-content-type-options"] == "nosniff"


@only_with_echo
def test_an_app_that_is_down_shows_a_page_that_says_so(host: Host, ask: Ask) -> None:
    host.check_output("systemctl stop echo@shop-blue")
    try:
        answer = ask()
        assert answer.status == 502
        assert b"<h1>The site does not answer" in answer.body
    finally:
        host.check_output("systemctl start echo@shop-blue")
        time.sleep(1)


@only_with_echo
def test_a_request_that_takes_longer_than_the_app_allows_ends_with_a_page(ask: Ask) -> None:
    started = time.monotonic()
    answer = ask("/slow")
    assert answer.status == 504
    assert b"took too long" in answer.body
    assert 2.5 < time.monotonic() - started < 5


@only_with_echo
def test_the_apps_own_error_pages_are_left_alone(ask: Ask) -> None:
    answer = ask("/nowhere")
    assert answer.status == 404
    assert answer.json()["path"] == "/nowhere"


@only_with_echo
def test_what_a_visitor_claims_about_itself_does_not_reach_the_app(ask: Ask) -> None:
    lies = {
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "evil.test",
        "X-Forwarded-Port": "1",
        "X-Forwarded-Prefix": "/evil",
        "X-Forwarded-Protocol": "http",
        "X-Forwarded-Ssl": "off",
        "X-Real-IP": "6.6.6.6",
        "X-Script-Name": "/evil",
        "Forwarded": "for=6.6.6.6",
        "Proxy": "evil.test",
    }
    headers = ask("/?a=b%20c", headers=lies).json()["headers"]
    assert headers["host"] == headers["x-forwarded-host"] == "shop.test"
    assert headers["x-forwarded-proto"] == "https"
    assert headers["x-forwarded-port"] == "443"
    assert headers["x-forwarded-for"] == headers["x-real-ip"]
    assert not [name for name, value in headers.items() if "6.6.6.6" in value or "evil" in value]
    assert not headers.keys() & {"x-forwarded-prefix", "x-forwarded-protocol", "x-forwarded-ssl", "proxy", "forwarded"}


@only_with_echo
def test_every_domain_is_served_under_its_own_name(address: str, inventory: Path) -> None:
    answer = by_https(address, "www.shop.test", trust(inventory))
    assert answer.json()["headers"]["host"] == "www.shop.test"


@only_with_echo
def test_a_swapped_socket_takes_the_next_request_without_a_reload(host: Host, ask: Ask) -> None:
    swap = "ln -s {}.sock /run/shop/new && mv -T /run/shop/new /run/shop/web.sock"
    assert ask().json()["colour"] == "blue"
    host.check_output(swap.format("green"))
    try:
        assert ask().json()["colour"] == "green"
    finally:
        host.check_output(swap.format("blue"))
    assert ask().json()["colour"] == "blue"


@only_with_echo
def test_a_post_that_broke_off_is_not_sent_again(ask: Ask) -> None:
    before = ask().json()["seen"].get("POST /dies", 0)
    assert ask("/dies", method="POST", body=b"pay").status == 502
    assert ask().json()["seen"]["POST /dies"] == before + 1


@only_with_echo
def test_static_files_come_from_the_release_with_a_lifetime(ask: Ask) -> None:
    plain = ask("/static/style.css")
    assert plain.status == 200
    assert plain.headers["content-type"] == "text/css"
    assert plain.headers["cache-control"] == "max-age=600"
    assert plain.headers["x-content-type-options"] == "nosniff"
    hashed = ask("/static/style.0123abcd.css")
    assert int(hashed.headers["cache-control"].partition("=")[2]) > 10_000_000
    etag = {"If-None-Match": plain.headers["etag"]}
    assert ask("/static/style.css", headers=etag).status == 304


@only_with_echo
def test_what_is_not_among_the_static_files_is_the_apps_to_answer(ask: Ask) -> None:
    assert ask("/static/none.css").json()["path"] == "/static/none.css"


@only_with_echo
@pytest.mark.parametrize(
    "path", ["/static/.secret", "/static/../echo.py", "/static/%2e%2e/echo.py", "/static../echo.py"]
)
def test_nothing_but_the_static_files_is_served(ask: Ask, path: str) -> None:
    answer = ask(path)
    assert b"123456" not in answer.body
    assert b"socketserver" not in answer.body


@only_with_echo
def test_files_are_compressed_for_those_who_ask(ask: Ask) -> None:
    answer = ask("/static/style.css", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert "accept-encoding" in answer.headers["vary"].lower()


@only_with_echo
@pytest.mark.parametrize(
    ("site", "compressed"),
    [("none", True), ("same-origin", True), ("same-site", False), ("cross-site", False), ("", False)],
)
def test_what_the_app_answers_is_compressed_unless_another_site_may_have_asked(
    ask: Ask, site: str, compressed: bool
) -> None:
    """Another site reads a secret from the sizes of compressed answers (BREACH)."""
    answer = ask(headers={"Accept-Encoding": "gzip"} | ({"Sec-Fetch-Site": site} if site else {}))
    assert answer.status == 200
    assert (answer.headers.get("content-encoding") == "gzip") is compressed


@only_with_echo
def test_a_body_that_is_too_large_is_refused(ask: Ask) -> None:
    assert ask(method="POST", body=b"x" * 1000).json()["method"] == "POST"
    assert ask(method="POST", body=b"x" * 1_100_000).status == 413


@only_with_echo
def test_an_app_that_sets_a_header_itself_is_not_contradicted(ask: Ask) -> None:
    answer = ask("/own-headers")
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.times is not None
    assert answer.times["referrer-policy"] == 1


@only_with_echo
def test_websockets_pass(address: str, domain: str, inventory: Path) -> None:
    with connect(address, domain, trust(inventory)) as connection:
        connection.sendall(
            f"GET /socket HTTP/1.1\r\nHost: {domain}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n".encode()
        )
        time.sleep(0.5)
        connection.sendall(b"hello")
        received = b""
        while part := connection.recv(4096):
            received += part
    assert received.startswith(b"HTTP/1.1 101 ")
    assert received.endswith(b"you said hello")


@only_with_echo
def test_requests_are_in_the_apps_own_access_log(host: Host, ask: Ask) -> None:
    ask("/for-the-log")
    assert "/for-the-log" in host.file("/var/log/nginx/shop.access.log").content_string
    assert "/for-the-log" not in host.file("/var/log/nginx/access.log").content_string


def test_a_half_open_request_does_not_hold_a_connection_for_long(address: str) -> None:
    with socket.create_connection((address, 80), 30) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        started = time.monotonic()
        with contextlib.suppress(ConnectionResetError):  # nginx keeps nothing of a visitor who is too slow
            while connection.recv(4096):
                pass
        assert time.monotonic() - started < 25
