"""What a visitor, a scanner and the administrator find on a server with two released apps."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import subprocess
import time
from pathlib import Path

import pytest
from testinfra.host import Host

from tests.support.fab import Fab
from tests.support.visitor import Visitor

OPEN_PORTS = [22, 80, 443]


def wait_for(probe, seconds: float = 10):
    """Return what `probe` returns, as soon as that is true."""
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        assert time.monotonic() < deadline, f"nothing within {seconds:.0f} s"
        time.sleep(0.2)
    return found


def test_each_app_answers_under_its_name_with_a_chain_that_ends_at_the_ca(guestbook: Visitor, visitors: Visitor):
    assert guestbook.ask("/").status == 200
    assert visitors.ask("/").status == 200


def test_the_second_domain_of_an_app_is_served_too(guestbook: Visitor):
    assert Visitor("www.guestbook.test", guestbook.address, guestbook.ca).ask("/healthz").status == 200


def test_http_is_redirected_to_https(guestbook: Visitor):
    answer = guestbook.ask_without_tls("/some/page?x=1")
    assert answer.status == 301
    assert answer.headers["Location"] == "https://guestbook.test/some/page?x=1"


def test_an_unknown_host_name_gets_nothing(guestbook: Visitor):
    with pytest.raises(Exception, match=r"(?i)unrecognized|alert|reset|closed|RemoteDisconnected"):
        Visitor("stranger.test", guestbook.address, guestbook.ca).ask("/")


def test_static_files_are_served_by_nginx_itself(guestbook: Visitor, host: Host):
    answer = guestbook.ask("/static/style.css")
    assert answer.status == 200
    assert "text/css" in answer.headers["Content-Type"]
    with host.sudo():
        assert "style.css" not in host.run("cat /var/log/guestbook/app.log").stdout


def test_a_message_posted_over_https_is_a_row_in_postgresql(guestbook: Visitor, host: Host):
    posted = guestbook.ask("/api/messages", method="POST", data={"author": "Ada", "text": "a row, please"})
    assert posted.status == 201
    with host.sudo("guestbook"):
        query = f"select text from message where id = {int(posted.json['id'])}"  # noqa: S608 - a number
        assert host.check_output("psql --no-psqlrc --tuples-only --no-align --command %s", query) == "a row, please"


def test_the_worker_does_the_job_that_a_message_brings(guestbook: Visitor):
    posted = guestbook.ask("/api/messages", method="POST", data={"author": "Ada", "text": "count these four words"})
    message = f"/api/messages/{posted.json['id']}"
    wait_for(lambda: guestbook.ask(message).json["processed_at"])
    assert guestbook.ask(message).json["words"] == 4


def test_an_app_may_not_enter_the_database_of_another(host: Host):
    with host.sudo("guestbook"):
        refused = host.run("psql --no-psqlrc --dbname visitors --command 'select 1'")
    assert refused.rc != 0
    assert "denied" in refused.stderr or "authentication failed" in refused.stderr


@pytest.mark.parametrize(
    "path", ["/etc/windlass/visitors.env", "/srv/visitors/current/wsgi.py", "/var/lib/windlass/visitors/state.json"]
)
def test_an_app_may_not_read_what_belongs_to_another(host: Host, path: str):
    with host.sudo("guestbook"):
        assert host.run("head -c 1 %s", path).rc != 0


def test_an_app_may_not_change_its_own_code(host: Host):
    with host.sudo("guestbook"):
        assert host.run("touch /srv/guestbook/current/wsgi.py").rc != 0
        assert host.run("touch /srv/guestbook/current/new-file").rc != 0


def test_two_workers_run_where_two_are_asked_for(fab: Fab, visitors: Visitor):
    processes = fab.json("status", "--app", "visitors")["processes"]
    assert len([process for process in processes if "worker" in process["name"]]) == 2


def test_an_error_puts_one_mail_into_the_admins_mailbox_and_one_line_into_the_apps_log(guestbook: Visitor, host: Host):
    with host.sudo():
        count = "grep -c '^Subject: .guestbook. Exception on /error' /var/mail/admin || true"
        before = int(host.run(count).stdout.strip() or 0)
        logged = "grep -c 'Exception on /error' /var/log/guestbook/app.log || true"
        lines_before = int(host.run(logged).stdout.strip() or 0)
        assert guestbook.ask("/error").status == 500
        wait_for(lambda: int(host.run(count).stdout.strip() or 0) > before)
        time.sleep(1)
        assert int(host.run(count).stdout.strip()) == before + 1
        assert int(host.run(logged).stdout.strip()) == lines_before + 1
        assert host.run("grep -c 'Exception on /error' /var/log/visitors/app.log").stdout.strip() == "0"


def test_the_log_of_an_app_can_be_read_with_fab(fab: Fab, guestbook: Visitor):
    guestbook.ask("/api/messages", method="POST", data={"author": "Ada", "text": "a line for the log"})
    assert fab.succeed("logs", "--app", "guestbook", "--lines", "50").output.strip()


def test_a_command_runs_in_the_apps_environment_and_gives_its_exit_status(fab: Fab, guestbook: Visitor):
    assert "guestbook" in fab.succeed("run", "--app", "guestbook", "id -un && echo $WINDLASS_APP").output
    assert fab("run", "--app", "guestbook", "exit 7").status == 7


def open_ports(address: str) -> list[int]:
    """Return the TCP ports at which an address takes a connection; each is given a second to answer."""
    return [
        port for start in range(1, 65536, 4000) for port in answering(address, range(start, min(start + 4000, 65536)))
    ]


def answering(address: str, ports: range) -> list[int]:
    """Return those of some ports that take a connection, all tried at once."""
    with contextlib.ExitStack() as stack:
        waiting = stack.enter_context(selectors.DefaultSelector())
        for port in ports:
            attempt = stack.enter_context(socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET))
            attempt.setblocking(False)
            attempt.connect_ex((address, port))
            waiting.register(attempt, selectors.EVENT_WRITE, port)
        found = []
        deadline = time.monotonic() + 1
        while (left := deadline - time.monotonic()) > 0:
            for key, _ in waiting.select(left):
                if key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                    found.append(key.data)
                waiting.unregister(key.fileobj)
        return sorted(found)


@pytest.mark.parametrize("family", ["inet", "inet6"])
def test_only_ssh_and_the_web_answer_from_outside(host: Host, guestbook: Visitor, family: str):
    found = json.loads(host.check_output("ip -json -family %s address show scope global", family))
    outside = next(entry["local"] for link in found for entry in link["addr_info"])
    assert open_ports(outside) == OPEN_PORTS


def test_a_web_process_that_is_killed_is_back_within_5_seconds(guestbook: Visitor, host: Host, fab: Fab):
    running = fab.json("status", "--app", "guestbook")["processes"]
    web = [process["pid"] for process in running if process["name"].startswith("web") and process["state"] == "RUNNING"]
    assert len(web) == 1
    with host.sudo():
        before = {web[0], *map(int, host.check_output("pgrep --parent %s", str(web[0])).split())}
        host.check_output("kill -9 %s", str(web[0]))
    killed = time.monotonic()

    def is_back() -> bool:
        with contextlib.suppress(OSError):
            answers = [guestbook.ask("/version") for _ in range(10)]
            return all(answer.status == 200 and answer.json["pid"] not in before for answer in answers)
        return False

    wait_for(is_back, seconds=5)
    assert time.monotonic() - killed < 5


def test_the_printed_command_for_curl_works_as_it_is(guestbook: Visitor, inventory: Path):
    resolve = f"guestbook.test:443:{guestbook.address}"
    command = ["curl", "--silent", "--fail", "--cacert", str(inventory / "ca.pem"), "--resolve", resolve]
    assert subprocess.run([*command, "https://guestbook.test/"], check=False, capture_output=True).returncode == 0
