"""Where log lines go: stderr or syslog, and mail for errors."""

import logging
import socket
import sys
import time
from collections import deque
from logging.handlers import SMTPHandler, SysLogHandler

from flask import Flask

LINE = "%(levelname)s %(name)s: %(message)s"
MAIL = "%(asctime)s %(levelname)s in {process}[%(process)d], release {release}\n\n%(message)s"


class MailLimit(logging.Filter):
    """Lets at most `number` records pass in `seconds`: a database that is away must not mail thousands."""

    def __init__(self, number: int, seconds: float) -> None:
        super().__init__()
        self._sent: deque[float] = deque([float("-inf")] * number, maxlen=number)
        self._seconds = seconds

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether this record may be mailed."""
        now = time.monotonic()
        if now - self._sent[0] < self._seconds:
            return False
        self._sent.append(now)
        return True


class ErrorMail(SMTPHandler):
    """Mails one record; its first line is the subject."""

    def getSubject(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return a subject with no line break in it."""
        return f"[guestbook] {' '.join(record.getMessage().split())[:120]}"


class Syslog(SysLogHandler):
    """Writes to syslog; a line that it does not take goes to stderr."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Lose no line where syslog is away or absent."""
        print(self.format(record), file=sys.stderr)


def syslog_handler(address: str, process: str) -> logging.Handler:
    """Write to syslog's socket with a tag, as a daemon does."""
    handler = Syslog(address)
    handler.append_nul = False
    handler.setFormatter(logging.Formatter(f"guestbook-{process}[%(process)d]: {LINE}"))
    return handler


def mail_handler(app: Flask) -> logging.Handler:
    """Mail errors to the admin."""
    config = app.config
    handler = ErrorMail(
        (config["MAIL_SERVER"], config["MAIL_PORT"]),
        config["MAIL_SENDER"] or f"guestbook@{socket.gethostname()}",
        [address.strip() for address in config["ADMIN_EMAIL"].split(",")],
        subject="",
        credentials=(config["MAIL_USERNAME"], config["MAIL_PASSWORD"]) if config["MAIL_USERNAME"] else None,
        secure=() if config["MAIL_USE_TLS"] else None,
    )
    handler.setLevel(logging.ERROR)
    handler.addFilter(MailLimit(number=10, seconds=600))
    handler.setFormatter(logging.Formatter(MAIL.format(process=config["PROCESS"], release=config["RELEASE"])))
    return handler


def init_app(app: Flask) -> None:
    """Send every log line to one place, and errors of the app by mail as well."""
    if app.config["LOG_TO_SYSLOG"]:
        handler = syslog_handler(app.config["SYSLOG_ADDRESS"], app.config["PROCESS"])
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter(LINE))
    logging.basicConfig(level=app.config["LOG_LEVEL"], handlers=[handler])
    if app.config["MAIL_ERRORS"] and app.config["ADMIN_EMAIL"]:
        app.logger.addHandler(mail_handler(app))
