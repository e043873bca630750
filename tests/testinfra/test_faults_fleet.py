"""Three servers of one app, with the database on the first: one release, one version, one release command."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import playbook
from tests.support.fab import Fab
from tests.support.faults import assert_told
from tests.support.repository import Repository
from tests.support.server import Server, wait_for

# The release command leaves a row that says where it ran.
COUNTED = """
import os, socket
from guestbook import create_app
from guestbook.extensions import db
from guestbook.models import Message

with create_app().app_context():
    db.session.add(Message(author=socket.gethostname(), text="released " + os.environ["WINDLASS_RELEASE"]))
    db.session.commit()
"""
# What each host's nginx would do.
ASK = """
import http.client, socket
connection = http.client.HTTPConnection("guestbook.test")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect("/run/guestbook/web.sock")
connection.request("GET", "/version")
print(connection.getresponse().read().decode())
"""
# Writes and reads without end, and says what did not come back as it should.
USED = """
import http.client, json, socket, sys, time
count = 0
while True:
    connection = http.client.HTTPConnection("guestbook.test", timeout=20)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.connect("/run/guestbook/web.sock")
        text = json.dumps({"author": "two", "text": f"{sys.argv[1]} {count}"})
        connection.request("POST", "/api/messages", text, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read().decode()
        print("acknowledged" if answer.status == 201 else f"failed {answer.status} {said}", flush=True)
        count += answer.status == 201
    except OSError as error:
        print(f"failed {error!r}", flush=True)
    connection.close()
    time.sleep(0.05)
"""
NO_WAY_TO = """
nft add table inet fault
nft add chain inet fault output '{{ type filter hook output priority -300; }}'
nft add rule inet fault output ip daddr {address} tcp dport 5432 reject
"""


@pytest.fixture(scope="module")
def servers(whole_inventory: Path) -> dict[str, Server]:
    return Server.all_of(whole_inventory)


@pytest.fixture(scope="module")
def fleet(whole_inventory: Path) -> Fab:
    return Fab(whole_inventory)


@pytest.fixture
def branch(repository: Repository) -> Iterator[Repository]:
    """Return the repository; it is put back afterwards."""
    before = repository.git("rev-parse", "main")
    yield repository
    repository.git("reset", "--quiet", "--hard", before)


def versions(servers: dict[str, Server]) -> dict[str, str]:
    """Return the version with which each server's app answers."""
    return {name: json.loads(server.run(f"python3 -c '{ASK}'"))["version"] for name, server in servers.items()}


def released(fleet: Fab) -> dict[str, str]:
    """Return the release that is live on each server."""
    return {state["host"]: state["release"] for state in fleet.json("status")}


def test_the_release_command_runs_once_for_all_hosts(fleet: Fab, branch: Repository, servers: dict[str, Server]):
    branch.write("counted.py", COUNTED)
    procfile = (branch.path / "Procfile").read_text()
    branch.write("Procfile", procfile.replace("flask deploy", "flask deploy && python counted.py"))
    branch.set_version("8.1.0")
    fleet.succeed("deploy")
    assert versions(servers) == dict.fromkeys(servers, "8.1.0")
    names = sorted(set(released(fleet).values()))
    assert len(names) == 1, "the hosts call the same release differently"
    rows = servers["one"].sql("select author, text from message where text like 'released %'").splitlines()
    assert [row for row in rows if row.endswith(f" {names[0]}")] == [f"one|released {names[0]}"]


def test_apps_on_other_hosts_reach_the_database_over_tls_with_a_scram_password(servers: dict[str, Server]):
    query = "select client_addr, bool_and(ssl) from pg_stat_activity join pg_stat_ssl using (pid) "
    query += "where client_addr is not null group by 1 order by 1"
    seen = servers["one"].sql(query).splitlines()
    assert seen == sorted(f"{servers[name].address}|t" for name in ("two", "three"))
    password = "select rolpassword from pg_authid where rolname = 'guestbook'"
    assert servers["one"].sql(password).startswith("SCRAM-SHA-256$")


def test_a_rollout_stops_at_the_host_that_fails_and_says_which_host_has_what(
    fleet: Fab, branch: Repository, servers: dict[str, Server]
):
    before = released(fleet)
    version = versions(servers)["one"]
    branch.set_version("8.2.0")
    env = "/etc/windlass/guestbook.env"
    broken = servers["two"].altered(
        f"cp -p {env} {env}.whole && sed -i s/^FLASK_CONFIG=.*/FLASK_CONFIG=nonsense/ {env}", f"mv {env}.whole {env}"
    )
    with broken:
        outcome = fleet("deploy")
    assert_told(outcome, "two: ", "one has ", "fab rollback --to", status=3)
    after = released(fleet)
    assert after["two"] == before["two"] and after["three"] == before["three"] and after["one"] != before["one"]
    for name, release in after.items():
        assert f"{name}: {release}" in outcome.errors, outcome.everything
    assert versions(servers) == {"one": "8.2.0", "two": version, "three": version}

    fleet.succeed("rollback", "--to", before["one"])
    assert released(fleet) == before
    assert versions(servers) == dict.fromkeys(servers, version)

    fleet.succeed("deploy")
    assert versions(servers) == dict.fromkeys(servers, "8.2.0")
    assert len(set(released(fleet).values())) == 1


def test_a_rollback_takes_all_hosts_to_the_same_release(fleet: Fab, branch: Repository, servers: dict[str, Server]):
    before = released(fleet)
    branch.set_version("8.3.0")
    fleet.succeed("deploy")
    fleet.succeed("rollback")
    assert released(fleet) == before


def test_a_host_that_cannot_reach_the_database_is_found_before_anything_is_sent_to_it(
    fleet: Fab, servers: dict[str, Server]
):
    before = released(fleet)
    cut = NO_WAY_TO.format(address=servers["one"].address)
    with servers["three"].altered(cut, "nft delete table inet fault"):
        outcome = fleet("deploy")
    assert_told(outcome, "three: ", "postgresql", status=3)
    assert released(fleet)["three"] == before["three"]
    fleet.succeed("deploy")
    wait_for(lambda: len(set(released(fleet).values())) == 1, 5, "one release")


def logins(servers: dict[str, Server]) -> list[str]:
    """Return the logins that have a password."""
    return servers["one"].sql("select rolname from pg_authid where rolpassword is not null order by 1").splitlines()


def passwords(servers: dict[str, Server]) -> set[str]:
    """Return the URLs by which the app enters the database from other servers, which must be the same on all."""
    found = {servers[name].run("grep ^DATABASE_URL= /etc/windlass/guestbook.env") for name in ("two", "three")}
    assert len(found) == 1
    return found


@pytest.fixture
def generation(whole_inventory: Path) -> Iterator[Path]:
    """Return the file in which the passwords' generation is counted; there is none before and afterwards."""
    file = whole_inventory / "group_vars/all/passwords.yml"
    yield file
    file.unlink(missing_ok=True)


def test_the_passwords_of_a_database_are_renewed_while_the_app_is_used(
    fleet: Fab, whole_inventory: Path, generation: Path, servers: dict[str, Server]
):
    before, had = passwords(servers), logins(servers)
    assert had == ["guestbook", "guestbook-owner"]
    used = f"windlass-used-{time.time_ns()}"
    begin = f"systemd-run --quiet --unit {used} --collect python3 -c {shlex.quote(USED)} {used}"
    two = servers["two"]
    # What was started with the password before keeps it alive: here a process of the app that has a job in hand.
    at_work = "systemd-run --quiet --unit windlass-at-work --collect --uid guestbook sleep infinity"
    try:
        two.run(f"{begin} && {at_work}")
        fleet.succeed("secrets", "rotate", "database")
        printed = playbook.succeed(whole_inventory, "--tags", "postgresql,app")
        assert "sleep of guestbook" in printed, printed[-3000:]
        assert passwords(servers).isdisjoint(before)
        assert logins(servers) == ["guestbook", "guestbook-owner", "guestbook-owner.b", "guestbook.b"]
        # What the owner's second login makes is the owner's.
        made = "CREATE TEMPORARY TABLE made (n int);"
        made += "SELECT session_user, tableowner FROM pg_tables WHERE tablename = $$made$$"
        asked = two.run(f'. /etc/windlass/guestbook.owner.env && psql "$DATABASE_URL" -qXAtc {shlex.quote(made)}')
        assert asked == "guestbook-owner.b|guestbook-owner"
        fleet.succeed("secrets", "rotate", "database")
        printed = playbook.succeed(whole_inventory, "--tags", "postgresql")
        assert "They are renewed once more" in printed, printed[-3000:]
        two.run("systemctl stop windlass-at-work")
        playbook.succeed(whole_inventory, "--tags", "postgresql,app")
        assert logins(servers) == ["guestbook-owner.b", "guestbook.b"]
        playbook.succeed(whole_inventory, "--tags", "postgresql,app")
        assert logins(servers) == ["guestbook", "guestbook-owner"]
        assert passwords(servers).isdisjoint(before)
        fleet.succeed("deploy")
    finally:
        two.run(f"systemctl stop {used} windlass-at-work || true")
    said = two.run(f"journalctl --unit {used} --output cat --no-pager").splitlines()
    acknowledged = said.count("acknowledged")
    assert acknowledged > 100 and not [line for line in said if line.startswith("failed")], said[-20:]
    kept = f"select count(*) from message where author = 'two' and text like '{used} %'"  # noqa: S608 - a name of ours
    assert servers["one"].sql(kept) == str(acknowledged)
    assert playbook.changes(playbook.succeed(whole_inventory, "--tags", "postgresql,app")) == 0
