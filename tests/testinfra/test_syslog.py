"""The logs: what an app says is in its own log, whole, once, and nowhere else."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest
import testinfra

Host = Any

HANDLER = """
import logging, logging.handlers, sys
log = logging.getLogger("probe")
log.setLevel(logging.INFO)
log.addHandler(logging.handlers.SysLogHandler(address="/dev/log"))
for number in range(int(sys.argv[2])):
    log.info(eval(sys.argv[3])(sys.argv[1], number))
"""
STREAM = """
import socket, sys
stream = socket.socket(socket.AF_UNIX)
stream.connect("/run/systemd/journal/stdout")
stream.sendall(f"{sys.argv[2]}\\n\\n6\\n0\\n0\\n0\\n0\\n".encode())
for number in range(int(sys.argv[3])):
    stream.sendall(f"{sys.argv[1]} {number}\\n".encode())
stream.close()
"""
OTHERS = "/var/log/syslog /var/log/user.log"


@pytest.fixture(autouse=True)
def a_server(host: Host) -> None:
    """Leave out the machine that collects the logs of the others."""
    if "collector" in host.ansible.get_variables()["group_names"]:
        pytest.skip("collects the logs of the others")


@pytest.fixture
def word() -> str:
    """Return a word that no other line has."""
    return f"probe-{uuid.uuid4().hex}"


def by_handler(host: Host, word: str, count: int = 1, text: str = "lambda word, number: f'{word} {number}'") -> None:
    """Log as an app does through SysLogHandler, with no tag."""
    host.check_output("runuser -u guestbook -- python3 -c %s %s %s %s", HANDLER, word, str(count), text)


def lines(host: Host, word: str, count: int, log: str = "/var/log/guestbook/app.log", seconds: float = 20) -> list[str]:
    """Wait until a log has that many lines with a word, and return them."""
    deadline = time.monotonic() + seconds
    while int(host.run("grep -c %s %s", word, log).stdout or 0) < count and time.monotonic() < deadline:
        time.sleep(0.3)
    found = host.run("grep %s %s", word, log).stdout.splitlines()
    assert len(found) == count, host.run("journalctl -n 20 --no-pager -u rsyslog").stdout
    return found


def test_a_line_by_syslog_without_a_tag_is_in_the_log_of_the_app(host: Host, word: str) -> None:
    by_handler(host, word)
    (line,) = lines(host, word, 1)
    assert line[:4].isdigit()
    assert line[10] == "T"
    assert host.run(f"grep -l %s {OTHERS}", word).stdout == ""


def test_what_a_process_prints_is_in_the_log_under_its_name(host: Host, word: str) -> None:
    host.check_output("runuser -u guestbook -- python3 -c %s %s guestbook-web 3", STREAM, word)
    for line in lines(host, word, 3):
        assert " guestbook-web[" in line
    assert host.run(f"grep -l %s {OTHERS}", word).stdout == ""


def test_a_message_of_several_lines_stays_one_line(host: Host, word: str) -> None:
    by_handler(host, word, 1, r"lambda word, number: word + ' Traceback\n  File x\nError: y'")
    (line,) = lines(host, word, 1)
    assert "#012  File x#012Error: y" in line


def test_a_long_message_arrives_whole(host: Host, word: str) -> None:
    by_handler(host, word, 1, "lambda word, number: word + ' ' + 'x' * 20000 + 'end'")
    (line,) = lines(host, word, 1)
    assert line.endswith("x" * 20000 + "end")


def test_a_burst_loses_no_line(host: Host, word: str) -> None:
    by_handler(host, word, 20000)
    lines(host, word, 20000, seconds=60)


def test_a_burst_of_output_loses_no_line(host: Host, word: str) -> None:
    host.check_output("runuser -u guestbook -- python3 -c %s %s guestbook-worker 20000", STREAM, word)
    lines(host, word, 20000, seconds=60)


def test_what_others_say_is_in_the_log_of_the_system(host: Host, word: str) -> None:
    host.check_output("logger -t guestbook-web %s", word)
    lines(host, word, 1, "/var/log/syslog")
    assert host.run("grep %s /var/log/guestbook/app.log", word).rc != 0


def test_no_other_user_reads_the_log(host: Host) -> None:
    assert host.run("runuser -u nobody -- cat /var/log/guestbook/app.log").rc != 0


def test_logging_goes_on_after_a_rotation(host: Host, word: str) -> None:
    by_handler(host, word + "-before")
    lines(host, word + "-before", 1)
    host.check_output("logrotate --force /etc/logrotate.d/windlass")
    by_handler(host, word + "-after")
    lines(host, word + "-after", 1)
    lines(host, word + "-before", 1, "/var/log/guestbook/app.log.1")


def test_logs_are_looked_at_every_hour(host: Host) -> None:
    assert "*-*-* *:00:00" in host.check_output("systemctl show -p TimersCalendar logrotate.timer")


@pytest.fixture
def collector(host: Host) -> Any:
    """Return the machine that collects the logs, where the scenario has one."""
    if "collector" not in host.ansible.get_variables()["groups"]:
        pytest.skip("no other machine collects the logs in this scenario")
    return testinfra.get_host("ansible://collector", ansible_inventory=host.backend.ansible_inventory)


def test_a_second_copy_is_on_the_other_machine(host: Host, collector: Any, word: str) -> None:
    by_handler(host, word)
    host.check_output("logger -t system %s", word)
    lines(collector, word, 2, "/var/log/collected")


def test_what_the_other_machine_missed_follows_when_it_is_back(host: Host, collector: Any, word: str) -> None:
    collector.check_output("systemctl stop rsyslog.service syslog.socket")
    by_handler(host, word + "-first")
    lines(host, word + "-first", 1)
    by_handler(host, word, 100)
    lines(host, word + " ", 100)
    collector.check_output("systemctl start rsyslog.service")
    lines(collector, word + " ", 100, "/var/log/collected", seconds=60)
