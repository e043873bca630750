"""Mail, as apps send it and as the admin gets it."""

from __future__ import annotations

import socket
import time
import uuid
from typing import Any

import pytest
import testinfra

Host = Any
SEND = """
import smtplib, sys
server, sender, recipient, word = sys.argv[1:]
with smtplib.SMTP(server, 25, timeout=10) as smtp:
    headers = f"From: {sender}\\r\\nTo: {recipient}\\r\\nSubject: {word}\\r\\n"
    smtp.sendmail(sender, [recipient], headers + "\\r\\nhello\\r\\n")
"""


@pytest.fixture(autouse=True)
def a_server(host: Host) -> None:
    """Leave out the machines that stand for the rest of the world."""
    if "relay" in host.ansible.get_variables()["group_names"]:
        pytest.skip("stands for a mail provider")


@pytest.fixture
def word() -> str:
    """Return a subject that no other message has."""
    return f"probe-{uuid.uuid4().hex}"


def send(host: Host, server: str, recipient: str, word: str) -> None:
    """Send a message by SMTP from the server itself."""
    host.check_output("python3 -c %s %s noreply@guestbook.example.com %s %s", SEND, server, recipient, word)


@pytest.fixture
def relay(request: pytest.FixtureRequest, host: Host) -> Any:
    """Return the machine that stands for a mail provider, where the scenario has one."""
    if "relay" not in host.ansible.get_variables()["groups"]:
        pytest.skip("no mail provider in this scenario")
    backend = host.backend
    return testinfra.get_host("ansible://relay", ansible_inventory=backend.ansible_inventory)


def wait_for(host: Host, mailbox: str, word: str) -> None:
    """Wait until a message is in a mailbox; show the mail log if it never comes."""
    deadline = time.monotonic() + 15
    while host.run("grep -q %s %s", f"Subject: {word}", mailbox).rc != 0:
        journal = "journalctl -n 20 --no-pager -t postfix/local -t postfix/smtp -t postfix/smtpd -t postfix/qmgr"
        assert time.monotonic() < deadline, host.run(journal).stdout
        time.sleep(0.3)


@pytest.mark.parametrize("server", ["127.0.0.1", "::1", "localhost"])
def test_a_message_by_smtp_reaches_the_admin(host: Host, server: str, word: str) -> None:
    send(host, server, "admin@localhost", word)
    wait_for(host, "/var/mail/admin", word)


@pytest.mark.parametrize("user", ["root", "guestbook", "postmaster"])
def test_mail_to_a_local_user_reaches_the_admin(host: Host, user: str, word: str) -> None:
    send(host, "localhost", f"{user}@localhost", word)
    wait_for(host, "/var/mail/admin", word)


def test_an_app_may_call_sendmail(host: Host, word: str) -> None:
    message = f"To: root\nSubject: {word}\n\nhello\n"
    host.check_output("printf %s %s | runuser -u guestbook -- /usr/sbin/sendmail -t", "%s", message)
    wait_for(host, "/var/mail/admin", word)


def test_nobody_outside_reaches_the_mail_server(host: Host) -> None:
    address = host.ansible.get_variables()["ansible_host"]
    for port in [25, 465, 587]:
        with pytest.raises(OSError), socket.create_connection((address, port), timeout=3):
            pass


def test_the_mail_server_listens_on_both_loopbacks_alone(host: Host) -> None:
    listening = set(host.check_output("ss -Hltn 'sport = :25' | awk '{print $4}'").split())
    assert listening == {"127.0.0.1:25", "[::1]:25"}


def test_mail_to_an_unknown_user_is_refused_at_once(host: Host, word: str) -> None:
    result = host.run("python3 -c %s localhost root@localhost nobody-of-that-name@localhost %s", SEND, word)
    assert result.rc != 0
    assert "550" in result.stderr


def test_mail_to_the_world_goes_through_the_relay_with_a_login_over_tls(host: Host, relay: Any, word: str) -> None:
    send(host, "localhost", "somebody@elsewhere.test", word)
    wait_for(relay, "/var/mail/collector", word)
    message = relay.check_output("grep -B 30 %s /var/mail/collector | tail -30", word)
    assert "ESMTPSA" in message


def test_the_relay_takes_nothing_without_a_login(host: Host, relay: Any, word: str) -> None:
    address = relay.ansible.get_variables()["ansible_host"]
    assert host.run("python3 -c %s %s a@example.com somebody@elsewhere.test %s", SEND, address, word).rc != 0


def test_nobody_but_root_reads_the_login_at_the_relay(host: Host, relay: Any) -> None:
    assert host.run("runuser -u guestbook -- cat /etc/postfix/sasl_passwd").rc != 0
    assert host.file("/etc/postfix/sasl_passwd").mode == 0o600


def test_a_relay_with_the_certificate_of_another_gets_no_mail(host: Host, relay: Any, word: str) -> None:
    relayhost = host.check_output("postconf -h relayhost")
    try:
        host.check_output("postconf -e 'relayhost=[other.windlass.test]:587' && postfix reload")
        send(host, "localhost", "somebody@elsewhere.test", word)
        deadline = time.monotonic() + 15
        while "certificate" not in (queue := host.check_output("postqueue -p")) and time.monotonic() < deadline:
            time.sleep(0.5)
        assert "Server certificate not verified" in queue
    finally:
        host.check_output("postconf -e %s && postsuper -d ALL && postfix reload", f"relayhost={relayhost}")
