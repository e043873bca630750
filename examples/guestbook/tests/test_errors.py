import logging
import socket
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from flask import Flask

from guestbook import create_app, logs


@pytest.fixture
def mails(monkeypatch: pytest.MonkeyPatch) -> list[EmailMessage]:
    sent: list[EmailMessage] = []

    class Server:
        def __init__(self, host: str, port: int, timeout: float) -> None:
            assert (host, port) == ("localhost", 25)

        def send_message(self, mail: EmailMessage) -> None:
            sent.append(mail)

        def quit(self) -> None:
            pass

    monkeypatch.setattr("smtplib.SMTP", Server)
    return sent


@pytest.fixture
def app(app: Flask) -> Iterator[Flask]:
    """The app of the other tests, which also mails."""
    handlers = list(app.logger.handlers)
    yield create_app("testing", TESTING=False, MAIL_ERRORS=True, ADMIN_EMAIL="admin@example.com")
    app.logger.handlers[:] = handlers


def test_an_unhandled_error_is_one_mail_and_one_log_record(
    app: Flask, mails: list[EmailMessage], caplog: pytest.LogCaptureFixture
) -> None:
    answer = app.test_client().get("/error")
    assert answer.status_code == 500
    assert "raised by" not in answer.text
    (mail,) = mails
    assert mail["To"] == "admin@example.com"
    assert mail["Subject"] == "[guestbook] Exception on /error [GET]"
    assert "RuntimeError: raised by /error" in mail.get_content()
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == [
        "Exception on /error [GET]"
    ]


def test_a_flood_of_errors_is_not_a_flood_of_mail(app: Flask, mails: list[EmailMessage]) -> None:
    for _ in range(15):
        app.test_client().get("/error")
    assert len(mails) == 10


def test_a_line_break_in_an_address_does_not_cost_the_mail(mails: list[EmailMessage], app: Flask) -> None:
    app.logger.error("Exception on /a\nBcc: x@example.com [GET]")
    assert mails[0]["Subject"] == "[guestbook] Exception on /a Bcc: x@example.com [GET]"


def test_a_mail_server_that_is_away_does_not_cost_the_answer(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr("smtplib.SMTP", refuse)
    assert app.test_client().get("/error").status_code == 500


def test_errors_are_json_where_json_was_asked_for(app: Flask) -> None:
    client = app.test_client()
    assert client.get("/api/nothing").json["error"] == "Not Found"
    assert (
        client.get("/error", headers={"Accept": "application/json"}).json["error"] == "Internal Server Error"
    )
    assert "<h1>Not Found</h1>" in client.get("/nothing").text


def test_syslog_gets_a_line_with_a_tag_and_stderr_while_it_is_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log"
    handler = logs.syslog_handler(str(log), "web")
    record = logging.makeLogRecord({"name": "guestbook", "levelname": "ERROR", "msg": "Hello"})
    handler.handle(record)
    assert capsys.readouterr().err.endswith("ERROR guestbook: Hello\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog:
        syslog.bind(str(log))
        handler.handle(record)
        line = syslog.recv(1000).decode()
        handler.close()
    assert line.startswith("<11>guestbook-web[")
    assert line.endswith("]: ERROR guestbook: Hello")
