"""nginx as the apps' shield: headers, limits, links that lead elsewhere, TLS profiles, HTTP/3."""

from __future__ import annotations

import functools
import re
import socket
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from test_nginx_releases import converge
from testinfra.host import Host
from visitor import Answer, Ask, by_http, by_https, connect, trust

# nginx's own choice among the users that every Debian has.
OTHER_USER = "games"


def policy(answer: Answer) -> dict[str, str]:
    """Return the directives of an answer's policy, which has to be one."""
    assert answer.times is not None
    assert answer.times.get("content-security-policy") == 1
    parts = [part.strip().partition(" ") for part in answer.headers["content-security-policy"].split(";")]
    return {name: sources for name, _, sources in parts}


@pytest.mark.parametrize("path", ["/", "/nowhere", "/static/style.css"])
def test_an_answer_lets_nothing_in_from_elsewhere_unless_somebody_says_so(ask: Ask, path: str):
    answer = ask(path)
    assert policy(answer) == {
        "default-src": "'self'",
        "img-src": "'self' data:",
        "object-src": "'none'",
        "base-uri": "'self'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "permissions-policy" not in answer.headers
    assert "alt-svc" not in answer.headers


def test_what_the_app_says_itself_wins(ask: Ask):
    answer = ask("/own-headers")
    assert policy(answer) == {"default-src": "https:"}
    assert answer.headers["cross-origin-opener-policy"] == "unsafe-none"
    assert answer.headers["x-frame-options"] == "DENY"
    assert max((answer.times or {}).values()) == 1


def test_an_app_that_says_who_may_frame_it_is_not_contradicted(ask: Ask):
    by_header = ask("/own-frames")
    assert by_header.headers["x-frame-options"] == "SAMEORIGIN"
    assert "frame-ancestors" not in policy(by_header)
    by_policy = ask("/own-ancestors")
    assert policy(by_policy) == {"frame-ancestors": "https://other.test"}
    assert "x-frame-options" not in by_policy.headers


def test_the_owner_adds_to_the_policy_and_changes_headers_of_one_app(ask: Ask):
    answer = ask(name="kept.test")
    directives = policy(answer)
    assert directives["script-src"] == "'self' 'unsafe-inline'"
    assert directives["default-src"] == "'self'"
    assert directives["frame-ancestors"] == "'self'"
    assert "x-frame-options" not in answer.headers
    assert "referrer-policy" not in answer.headers
    assert answer.headers["permissions-policy"] == 'geolocation=(self "https://maps.test")'


@pytest.mark.parametrize(("path", "name"), [("/", "empty.test"), ("/static/.secret", "shop.test")])
def test_nginxs_own_pages_have_a_policy_that_lets_their_style_in(ask: Ask, path: str, name: str):
    answer = ask(path, name=name)
    directives = policy(answer)
    assert directives["default-src"] == directives["frame-ancestors"] == "'none'"
    assert directives["style-src"] == "'unsafe-inline'"
    assert answer.headers["strict-transport-security"]


def test_a_redirect_to_https_says_as_much_as_it_may(address: str):
    answer = by_http(address, "shop.test")
    assert answer.status == 301
    assert policy(answer)["default-src"] == "'none'"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "strict-transport-security" not in answer.headers


def test_an_unknown_name_on_a_connection_for_another_is_sent_away(address: str, inventory: Path):
    answer = by_https(address, "shop.test", trust(inventory), headers={"Host": "unknown.invalid"})
    assert answer.status == 421
    assert b"colour" not in answer.body


# Limits.


def test_one_address_gets_so_many_answers_at_a_time(ask: Ask):
    time.sleep(10)  # what the tests before have sent is forgotten
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask("/slow", name="few.test"), range(8)))
    counts = Counter(answer.status for answer in answers)
    assert counts[429] == 5
    assert counts[200] == 3
    refused = next(answer for answer in answers if answer.status == 429)
    assert b"<h1>Too many requests</h1>" in refused.body
    assert int(refused.headers["retry-after"]) > 0
    assert ask(name="shop.test").status == 200


def statuses(connection: socket.socket, name: str, requests: int) -> Counter[int]:
    """Send requests in one go, the last of which ends the connection, and count the answers."""
    one = f"GET / HTTP/1.1\r\nHost: {name}\r\n"
    connection.sendall(f"{one}\r\n".encode() * (requests - 1) + f"{one}Connection: close\r\n\r\n".encode())
    received = b""
    while part := connection.recv(65536):
        received += part
    return Counter(int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received))


def test_one_address_gets_so_many_answers_a_second(address: str, ask: Ask, inventory: Path):
    time.sleep(25)
    with connect(address, "few.test", trust(inventory)) as connection:
        counts = statuses(connection, "few.test", 60)
    assert counts[200] >= 21
    assert counts[429] > 0
    assert counts.total() == counts[200] + counts[429] == 60
    answer = ask(name="few.test", headers={"Accept": "application/json"})
    if answer.status == 429:  # unless a second has gone by
        assert answer.json() == {"status": 429, "error": "too-many-requests"}
    assert ask(name="shop.test").status == 200


def test_what_the_server_asks_itself_is_not_counted(host: Host):
    script = (
        "import socket, ssl; wrap = ssl._create_unverified_context().wrap_socket\n"
        "for _ in range(60):\n"
        "    c = wrap(socket.create_connection(('127.0.0.1', 443)), server_hostname='few.test')\n"
        "    c.sendall(b'GET / HTTP/1.1\\r\\nHost: few.test\\r\\nConnection: close\\r\\n\\r\\n')\n"
        "    print(c.recv(12)[9:].decode())"
    )
    said = host.check_output("python3 -W ignore -c %s", script).split()
    assert Counter(said) == {"200": 60}


def test_a_body_that_stops_coming_ends_the_request(address: str, inventory: Path):
    with connect(address, "few.test", trust(inventory)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: few.test\r\nContent-Length: 1000\r\n\r\nhalf")
        started = time.monotonic()
        while connection.recv(4096):
            pass
        assert 1.5 < time.monotonic() - started < 8


# Symbolic links.

FILES = "/srv/shop/releases/one/assets"
SHARED = "/srv/shop/shared"
UPLOADS = f"{SHARED}/assets/uploads"
MEDIA = "/srv/whole/shared/media"


@pytest.fixture(scope="module")
def links(host: Host) -> Iterator[None]:
    """Put links among the files that nginx serves: some of the release, some of the app's user."""
    steps = [
        f"mkdir -p {UPLOADS}",
        f"echo picture > {UPLOADS}/picture.txt",
        f"ln -s picture.txt {UPLOADS}/again.txt",
        f"ln -s /etc/hostname {UPLOADS}/stolen.txt",
        f"ln -s /etc {UPLOADS}/etc",
        f"mkdir -p {MEDIA}/thumbs",
        f"echo thumb > {MEDIA}/thumbs/one.txt",
        f"ln -s thumbs {MEDIA}/small",
        f"ln -s {MEDIA} /srv/whole/current/media",
        f"chown -hR {OTHER_USER} {SHARED} /srv/whole/shared",
        f"chmod -R a+rX {SHARED} /srv/whole/shared",
        f"ln -s style.css {FILES}/alias.css",
        f"mkdir {FILES}/../out && cp {FILES}/style.css {FILES}/../out/built.css && ln -s ../out {FILES}/out",
        f"chmod -R a+rX {FILES}/../out",
        f"ln -s {UPLOADS} {FILES}/uploads",
        f"ln -s /etc/hostname {FILES}/stolen.txt",
        f"chown -h {OTHER_USER} {FILES}/stolen.txt",
    ]
    host.check_output(" && ".join(steps))
    yield
    host.check_output(
        f"rm -r {SHARED} /srv/whole/shared /srv/whole/current/media {FILES}/../out {FILES}/out"
        f" {FILES}/alias.css {FILES}/uploads {FILES}/stolen.txt"
    )


@pytest.fixture
def private(host: Host) -> Iterator[str]:
    """Make what another app has, its code and its uploads: nginx may read it, and the first app's visitors may not."""
    folder = "/srv/kept/releases/one/private"
    host.check_output(
        f"mkdir -p {folder}/uploads/thumbs"
        f" && for place in {folder} {folder}/uploads {folder}/uploads/thumbs; do echo secret > $place/settings.py; done"
        f" && chown -R daemon:kept-build {folder} && chmod -R g+rX {folder}"
    )
    assert host.check_output(f"runuser -u www-data -- cat {folder}/settings.py") == "secret"
    yield folder
    host.check_output(f"rm -r {folder}")


def replace(host: Host, place: str, target: str) -> None:
    """Put a link of the app's user in the place of a folder or a link."""
    host.check_output(
        f"mv -T {place} {place}.away && ln -s {target} {place} && chown -h {OTHER_USER} {place} && test -e {place}/."
    )


def restore(host: Host, place: str) -> None:
    """Take the link away again."""
    host.check_output(f"rm {place} && mv -T {place}.away {place}")


def test_links_within_what_is_served_are_followed(links: None, ask: Ask):
    assert ask("/static/alias.css").headers["content-type"] == "text/css"
    assert ask("/static/out/built.css").headers["content-type"] == "text/css"
    assert ask("/static/uploads/picture.txt").body == b"picture\n"
    assert ask("/static/uploads/again.txt").body == b"picture\n"


def test_a_folder_of_shared_is_served_beside_the_files_at_the_top_of_a_release(links: None, ask: Ask):
    whole = functools.partial(ask, name="whole.test")
    assert whole("/style.css").headers["content-type"] == "text/css"
    for path in ("/media/thumbs/one.txt", "/media/small/one.txt", "/thumbs/one.txt"):
        assert whole(path).body == b"thumb\n", path


def test_uploads_are_served_whatever_the_link_in_the_release_is(host: Host, links: None, ask: Ask):
    host.check_output(f"mv {FILES}/uploads {FILES}/away")
    try:
        assert ask("/static/uploads/picture.txt").body == b"picture\n"
    finally:
        host.check_output(f"mv {FILES}/away {FILES}/uploads")


@pytest.mark.parametrize("path", ["/static/stolen.txt", "/static/uploads/stolen.txt", "/static/uploads/etc/hostname"])
def test_a_link_to_what_another_user_owns_is_not_followed(host: Host, links: None, ask: Ask, path: str):
    secret = host.file("/etc/hostname").content_string.strip()
    answer = ask(path)
    assert answer.json()["path"] == path
    assert secret.encode() not in answer.body.partition(b'"headers"')[0]


@pytest.mark.parametrize(
    ("place", "target", "paths"),
    [
        (UPLOADS, "/srv/kept/releases/one/private", ["/static/uploads/settings.py"]),
        (UPLOADS, "/srv/kept/current", ["/static/uploads/private/settings.py", "/static/uploads/public/style.css"]),
        (UPLOADS, "/", ["/static/uploads/etc/hostname", "/static/uploads/srv/kept/current/private/settings.py"]),
        (f"{SHARED}/assets", "/srv/kept/releases/one/private", ["/static/uploads/settings.py"]),
        (f"{FILES}/uploads", "/srv/kept/releases/one/private", ["/static/uploads/settings.py"]),
        (f"{FILES}/out", "/srv/kept/releases/one/private", ["/static/out/settings.py"]),
        (FILES, "/srv/kept/releases/one/private", ["/static/settings.py", "/static/uploads/settings.py"]),
    ],
)
def test_a_link_in_the_place_of_a_whole_folder_shows_nothing_of_another_app(
    host: Host, links: None, private: str, ask: Ask, place: str, target: str, paths: list[str]
):
    replace(host, place, target)
    try:
        for path in paths:
            answer = ask(path)
            assert answer.json()["path"] == path  # it is the app that answers
    finally:
        restore(host, place)
    assert ask("/static/uploads/picture.txt").body == b"picture\n"


@pytest.mark.parametrize(
    ("place", "target", "path"),
    [
        (MEDIA, "/srv/kept/releases/one/private", "/media/settings.py"),
        (MEDIA, "/srv/kept/releases/one/private/uploads", "/thumbs/settings.py"),
        (f"{MEDIA}/thumbs", "/srv/kept/releases/one/private", "/thumbs/settings.py"),
        ("/srv/whole/current/media", "/srv/kept/releases/one/private", "/media/settings.py"),
    ],
)
def test_nor_does_one_above_or_below_what_is_served(
    host: Host, links: None, private: str, ask: Ask, place: str, target: str, path: str
):
    replace(host, place, target)
    try:
        answer = ask(path, name="whole.test")
        assert b"secret" not in answer.body
        assert answer.status == 502  # there is no app to answer
    finally:
        restore(host, place)
    assert ask("/media/thumbs/one.txt", name="whole.test").body == b"thumb\n"


# TLS.


def test_the_key_exchange_withstands_a_quantum_computer_where_openssl_can(host: Host):
    if host.system_info.release.startswith("12"):
        pytest.skip("OpenSSL 3.0 of Debian 12 does not know X25519MLKEM768")
    said = host.check_output("openssl s_client -connect 127.0.0.1:443 -servername shop.test -brief < /dev/null 2>&1")
    assert "Negotiated TLS1.3 group: X25519MLKEM768" in said


@pytest.fixture(scope="module")
def modern(host: Host, inventory: Path) -> Iterator[None]:
    """Have the server provisioned with the other switches, and put back."""
    new = not host.system_info.release.startswith("12")
    done = converge(inventory, "-e", f'{{"nginx_tls_profile": "modern", "nginx_http3": {str(new).lower()}}}')
    assert done.returncode == 0, done.stdout[-3000:]
    yield
    assert converge(inventory).returncode == 0


def test_the_modern_profile_speaks_tls_1_3_alone(modern: None, address: str, inventory: Path):
    context = trust(inventory)
    with connect(address, "shop.test", context) as connection:
        assert connection.version() == "TLSv1.3"
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        connect(address, "shop.test", context)


def test_http3_is_offered(modern: None, host: Host, ask: Ask):
    if host.system_info.release.startswith("12"):
        pytest.skip("nginx of Debian 12 has no HTTP/3")
    assert ask().headers["alt-svc"] == 'h3=":443"; ma=86400'
    assert host.socket("udp://0.0.0.0:443").is_listening


def test_http3_is_refused_in_one_line_where_nginx_cannot(host: Host, inventory: Path):
    if not host.system_info.release.startswith("12"):
        pytest.skip("nginx of Debian 13 can")
    done = converge(inventory, "-e", '{"nginx_http3": true}', start="nginx : Refuse what this Debian's nginx cannot do")
    assert done.returncode != 0
    assert "nginx_http3: HTTP/3 needs Debian 13, and this server has 12" in done.stdout


def test_a_plain_request_at_the_port_for_https_gets_no_app(address: str):
    with socket.create_connection((address, 443), 10) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n")
        received = b""
        while part := connection.recv(4096):
            received += part
    assert received == b"" or b" 400 " in received.partition(b"\r\n")[0]
