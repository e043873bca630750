"""Supervisor as a keeper of processes: what ends comes back, and nothing is left behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from testinfra.host import Host

pytestmark = pytest.mark.usefixtures("journal_on_failure")
PROGRAM = "[program:sleeper]\\ncommand=/bin/sleep 86399\\nuser=nobody\\nautorestart=true\\n"
PIDS = "pgrep --full --exact '/bin/sleep 86399'"


@pytest.fixture(scope="module", autouse=True)
def sleeper(host: Host) -> Iterator[None]:
    """Have Supervisor run a program that does nothing."""
    with host.sudo():
        host.check_output(f"printf '{PROGRAM}' > /etc/supervisor/conf.d/sleeper.conf && supervisorctl update")
    yield
    with host.sudo():
        host.check_output("rm /etc/supervisor/conf.d/sleeper.conf && supervisorctl update")


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Wait until a condition holds; say whether it did in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def test_a_killed_program_is_back_within_five_seconds(host: Host) -> None:
    assert within(5, lambda: host.run(PIDS).rc == 0)
    before = host.check_output(PIDS)
    with host.sudo():
        host.check_output(f"kill -9 {before}")
    assert within(5, lambda: host.run(PIDS).stdout.strip() not in ("", before))


def test_a_killed_supervisor_comes_back_and_leaves_no_second_program(host: Host) -> None:
    for _ in range(3):
        before = host.check_output(PIDS)
        with host.sudo():
            host.check_output("systemctl kill --kill-whom=main --signal=KILL supervisor")
        assert within(10, lambda seen=before: host.run(PIDS).stdout.strip() not in ("", seen))
    assert len(host.check_output(PIDS).split()) == 1


def test_only_root_speaks_to_it(host: Host) -> None:
    with host.sudo():
        assert host.run("supervisorctl pid").rc == 0
    with host.sudo("nobody"):
        assert "ermission" in host.run("supervisorctl pid").stdout


def test_it_listens_on_no_port(host: Host) -> None:
    with host.sudo():
        assert "supervisord" not in host.check_output("ss -Hltunp")


def test_it_starts_with_the_server(host: Host) -> None:
    assert host.service("supervisor").is_enabled


def test_what_it_says_is_in_the_journal_and_in_no_file_that_grows(host: Host) -> None:
    size = "stat --format %s /var/log/supervisor/supervisord.log 2>/dev/null || echo 0"
    with host.sudo():
        before = host.check_output(size)
        host.check_output("supervisorctl restart sleeper")
        assert "sleeper" in host.check_output("journalctl --no-pager --unit supervisor")
        assert host.check_output(size) == before
