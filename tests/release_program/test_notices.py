"""Notices of releases: to a real mail server and a real web server on this machine."""

from __future__ import annotations

import contextlib
import json
import socketserver
import threading
from collections.abc import Iterator
from email import message_from_string
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from conftest import Server, app_files
from test_watch import breaking

from windlass.server.environment import Context
from windlass.server.notices import send
from windlass.server.settings import load


class Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posts.append((self.path, json.loads(body)))  # type: ignore[attr-defined]
        if self.path == "/slow":
            self.server.done.wait(120)  # type: ignore[attr-defined]
            self.server.answered = True  # type: ignore[attr-defined]
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
        else:
            self.send_response(500 if self.path == "/broken" else 200)
        self.end_headers()

    def do_GET(self) -> None:
        self.server.posts.append((self.path, {}))  # type: ignore[attr-defined]

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[HTTPServer]:
    with HTTPServer(("127.0.0.1", 0), Hook) as server:
        server.posts, server.done = [], threading.Event()  # type: ignore[attr-defined]
        server.answered = False  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.done.set()  # type: ignore[attr-defined]
        server.shutdown()


def ask_for(
    server: Server, mailbox: socketserver.TCPServer | None, web: HTTPServer | None, path: str = "/hook"
) -> None:
    server.configure(health_timeout=15)  # the machine may be busy
    wanted: dict[str, object] = {"smtp": ["127.0.0.1", mailbox.server_address[1] if mailbox else 9]}
    if mailbox:
        wanted["mail"] = ["ops@example.com", "boss@example.com"]
    if web:
        wanted["webhook"] = f"http://127.0.0.1:{web.server_address[1]}{path}"
    server.paths.notify.write_text(json.dumps(wanted))
    server.paths.notify.chmod(0o600)


def test_people_are_told_of_a_deploy_that_fails_and_of_one_that_goes_well(
    server: Server, mailbox: socketserver.TCPServer, web: HTTPServer
) -> None:
    ask_for(server, mailbox, web)
    server.configure(hooks={"after-switch": "exit 1"})
    release = server.deploy(app_files("one")).data["release"]
    server.wait_for(lambda: len(mailbox.mails) == 1 and len(web.posts) == 1)  # type: ignore[attr-defined]
    assert not server.deploy(app_files(top="import nothing_such")).ok
    server.wait_for(lambda: len(mailbox.mails) == 2 and len(web.posts) == 2)  # type: ignore[attr-defined]
    good, bad = (message_from_string(mail) for mail in mailbox.mails)  # type: ignore[attr-defined]
    assert good["Subject"] == "demo: deployed main"
    assert good["To"] == "ops@example.com, boss@example.com"
    text = good.get_payload()
    assert f"release: {release}" in text
    assert "by: alice@laptop" in text
    assert "failed hooks: after-switch" in text
    assert bad["Subject"] == "demo: deploy of main FAILED in probe; nothing changed for visitors"
    assert "nothing_such" in bad.get_payload()
    assert [path for path, _ in web.posts] == ["/hook", "/hook"]  # type: ignore[attr-defined]
    assert web.posts[0][1]["text"].startswith("demo: deployed main\n")  # type: ignore[attr-defined]


def test_people_are_told_of_a_rollback(server: Server, web: HTTPServer) -> None:
    first = server.deploy(app_files("one")).data["release"]
    server.deploy(app_files("two"))
    ask_for(server, None, web)
    assert server.ask("rollback").data["release"] == first
    server.wait_for(lambda: bool(web.posts))  # type: ignore[attr-defined]
    assert web.posts[0][1]["text"].startswith("demo: rolled back to main\n")  # type: ignore[attr-defined]
    assert server.ask("restart").ok
    assert len(web.posts) == 1  # type: ignore[attr-defined]


def test_people_are_told_that_a_release_was_switched_back_and_no_hook_stands_in_the_way(
    server: Server, web: HTTPServer
) -> None:
    server.configure(watch_seconds=60, hooks={"before-switch": f"test ! -e {server.prefix}/break"})
    server.set_env(BREAK=str(server.prefix / "break"))
    first = server.deploy(app_files("one")).data["release"]
    ask_for(server, None, web)
    second = server.deploy(breaking("os.kill(os.getppid(), 9)")).data["release"]
    (server.prefix / "break").touch()
    with contextlib.suppress(OSError):
        server.get()
    server.wait_for(lambda: len(web.posts) == 2, 40)  # type: ignore[attr-defined]
    told = web.posts[1][1]["text"]  # type: ignore[attr-defined]
    assert told.startswith(f"demo: SWITCHED BACK to {first}; {second} is marked bad\nreason: ")
    assert server.answers("one")


def test_a_receiver_that_hangs_delays_no_deploy_and_keeps_no_lock(live: Server, web: HTTPServer) -> None:
    ask_for(live, None, web, "/slow")
    assert live.deploy(app_files("one")).ok
    live.wait_for(lambda: bool(web.posts))  # type: ignore[attr-defined]
    assert live.ask("rollback").ok
    assert not web.answered  # type: ignore[attr-defined]
    live.paths.notify.unlink()


@pytest.mark.parametrize(("path", "reason"), [("/broken", "Internal Server Error"), ("/moved", "Found")])
def test_a_notice_that_fails_is_told_at_the_next_release_without_the_address(
    live: Server, web: HTTPServer, path: str, reason: str
) -> None:
    ask_for(live, None, web, path)
    assert live.deploy(app_files("one")).ok
    live.wait_for(live.paths.unsent.exists)
    live.paths.notify.unlink()
    assert live.paths.unsent.stat().st_mode & 0o777 == 0o600
    reply = live.deploy(app_files("one"))
    notes = [event["message"] for event in reply.events if event["event"] == "note"]
    assert notes == [f"the last notice of a release was not sent by webhook ({reason})"]
    assert not live.paths.unsent.exists()
    assert {name for name, _ in web.posts} == {path}  # type: ignore[attr-defined]


def test_nobody_at_home_is_a_failed_notice_too(live: Server) -> None:
    live.paths.notify.write_text(json.dumps({"mail": ["a@example.com"], "smtp": ["127.0.0.1", 9]}))
    assert live.deploy(app_files("one")).ok
    live.wait_for(live.paths.unsent.exists)
    assert live.paths.unsent.read_text() == "mail (Connection refused)\n"
    live.paths.unsent.unlink()
    live.paths.notify.unlink()


def test_what_a_message_holds_means_nothing_to_the_receiver(live: Server, web: HTTPServer) -> None:
    ask_for(live, None, web)
    context = Context(live.paths, load(live.paths.settings))
    send(context, "demo: <!channel> & co", {"error": "<https://evil|click>", "nothing": ""})
    live.wait_for(lambda: bool(web.posts))  # type: ignore[attr-defined]
    live.paths.notify.unlink()
    text = web.posts[0][1]["text"]  # type: ignore[attr-defined]
    assert text.splitlines()[:2] == ["demo: &lt;!channel&gt; &amp; co", "error: &lt;https://evil|click&gt;"]
