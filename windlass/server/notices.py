"""Tell people how a release went: by mail through this machine's mail server, and by a webhook of Slack's shape."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable, Mapping

from windlass import messages
from windlass.server import files, masking
from windlass.server.environment import Context
from windlass.server.job import Job
from windlass.server.log import read_state

WEBHOOK_TIMEOUT = 10  # seconds
MAIL_TIMEOUT = 30  # seconds
LIMIT = 90  # seconds for all of it


def tell(work: Job, release: str, error: BaseException | None = None) -> None:
    """Send the notice of a deploy or a rollback that ended, with `error` when it failed."""
    request, entry = work.request, work.log.entries.get(release, {})
    app, version = work.context.settings.name, str(entry.get("version") or request.version)
    headline = messages.notice_live(app, request.action, version, release)
    if error is not None:
        phase = getattr(error, "phase", "") or work.events.phase_name
        switched = read_state(work.context.paths).release == release
        headline = messages.notice_failed(app, request.action, version, phase, switched)
    details = {
        "release": release,
        "commit": entry.get("commit"),
        "by": request.by,
        "seconds": work.seconds,
        "error": " ".join(str(error).split()) if error else "",
        "what to do": getattr(error, "hint", ""),
        "failed hooks": ", ".join(work.failed_hooks),
    }
    send(work.context, headline, details)


def send(context: Context, headline: str, details: Mapping[str, object]) -> None:
    """Send a notice in the background: nobody waits for it, and nothing fails with it.

    Where it goes stands in a file that root alone reads, for a webhook's address is a secret. Without it: nowhere.
    """
    if not context.paths.notify.exists():
        return
    try:
        child = os.fork()
    except OSError:
        return
    if child:
        return
    try:
        _let_go()
        shown = [f"{name}: {value}" for name, value in details.items() if value not in ("", None)]
        lines = [*map(masking.masked, shown), f"server: {socket.gethostname()}"]
        if wrong := _tried(lambda: _send(context, headline, lines)):
            _remember(context, wrong)
    finally:
        os._exit(0)


def _let_go() -> None:
    """Be a process of nobody's: the lock, the client's connection and its signals stay with those who sent us."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.alarm(LIMIT)
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))


def _send(context: Context, headline: str, lines: list[str]) -> None:
    """Send what is to be sent, and keep what went wrong for the log and for whoever comes next."""
    wanted = json.loads(context.paths.notify.read_text())
    ways: dict[str, Callable[[], None]] = {}
    if wanted.get("mail"):
        ways["mail"] = lambda: mail(context.settings.name, wanted["mail"], wanted["smtp"], headline, lines)
    if wanted.get("webhook"):
        ways["webhook"] = lambda: webhook(wanted["webhook"], headline, lines)
    wrong = [f"{way} ({reason})" for way, act in ways.items() if (reason := _tried(act))]
    context.paths.unsent.unlink(missing_ok=True)
    if wrong:
        _remember(context, ", ".join(wrong))


def _tried(act: Callable[[], None]) -> str:
    """Return why it failed, or nothing. Only a system error is quoted: others may hold the webhook's address."""
    try:
        act()
    except Exception as error:
        known = isinstance(error, OSError) and error.strerror
        return str(known or getattr(error, "reason", "") or type(error).__name__)[:200]
    return ""


def _remember(context: Context, wrong: str) -> None:
    import syslog

    syslog.openlog("windlass")
    syslog.syslog(syslog.LOG_WARNING, f"{context.settings.name}: {messages.note_notice_failed(wrong)}")
    files.replace(context.paths.unsent, f"{wrong}\n", 0o600)


def mail(app: str, recipients: list[str], server: list[object], headline: str, lines: list[str]) -> None:
    """Hand a mail to the mail server at `server`, host and port."""
    import smtplib
    from email.message import EmailMessage
    from email.utils import formatdate, make_msgid

    name = socket.getfqdn()
    message = EmailMessage()
    message["From"] = f"{app}@{name}"
    message["To"] = ", ".join(recipients)
    message["Subject"] = headline
    message["Date"] = formatdate()
    message["Message-ID"] = make_msgid(domain=name)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content("\n".join([headline, "", *lines]) + "\n")
    with smtplib.SMTP(str(server[0]), int(str(server[1])), timeout=MAIL_TIMEOUT) as opened:
        opened.send_message(message)


def webhook(url: str, headline: str, lines: list[str]) -> None:
    """Post a text as Slack, Mattermost and their like take it. A redirection is no answer: it may lead anywhere."""
    import urllib.request

    class Straight(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_: object) -> None:
            return None

    text = "\n".join([headline, *lines])
    for sign, written in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, written)
    headers = {"Content-Type": "application/json", "User-Agent": "windlass"}
    request = urllib.request.Request(url, json.dumps({"text": text}).encode(), headers)  # noqa: S310 - checked
    with urllib.request.build_opener(Straight).open(request, timeout=WEBHOOK_TIMEOUT) as answer:
        answer.read(1)
