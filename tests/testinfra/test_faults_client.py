"""Who releases goes away in the middle: killed, cut off, impatient, or not alone."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fab import Fab
from tests.support.faults import APP, KILL_PROGRAM, Site, assert_told
from tests.support.server import wait_for

STATE = f"/var/lib/windlass/{APP}"
# A far server: a part of what comes in is lost, which TCP repairs, slowly.
SLOW_LINK = """
nft add table inet fault
nft add chain inet fault input '{ type filter hook input priority -300; }'
nft add rule inet fault input tcp dport 22 meta length gt 500 limit rate over 2 mbytes/second burst 500 kbytes drop
"""
# Nothing of one connection arrives any more, in either direction, and nobody is told.
CUT_LINK = """
nft add table inet fault
nft add chain inet fault input '{{ type filter hook input priority -300; }}'
nft add chain inet fault output '{{ type filter hook output priority -300; }}'
nft add rule inet fault input tcp dport 22 tcp sport {port} drop
nft add rule inet fault output tcp sport 22 tcp dport {port} drop
"""
MEND_LINK = "nft delete table inet fault"
SLOW_MIGRATION = """
from alembic import op

revision = "0009"
down_revision = "{head}"


def upgrade():
    op.execute("create table slow_migration (id int)")
    op.execute("select pg_sleep({seconds})")


def downgrade():
    op.execute("drop table slow_migration")
"""
SLEEPING = "select count(*) from pg_stat_activity where query like '%pg_sleep%' and pid <> pg_backend_pid()"


@pytest.fixture
def slow_migration(site: Site) -> Iterator[float]:
    """Commit a migration that takes a while; the database is put back afterwards. Return its seconds."""
    head, seconds = site.server.sql("select version_num from alembic_version"), 8
    site.break_with("migrations/versions/0009_slow.py", SLOW_MIGRATION.format(head=head, seconds=seconds))
    yield seconds
    site.wait_until_settled()
    site.server.sql(f"drop table if exists slow_migration; update alembic_version set version_num = '{head}'")  # noqa: S608


def local_port(pid: int, server: str) -> int:
    """Return the port that a process's connection to the server comes from; 0 while there is none."""
    inodes = set()
    for number in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed in the meantime
            inodes.add(str(number.readlink()))
    remote = "".join(f"{int(part):02X}" for part in reversed(server.split("."))) + ":0016"
    rows = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()
    lines = [row.split() for row in rows if remote in row]
    found = [int(line[1].partition(":")[2], 16) for line in lines if f"socket:[{line[9]}]" in inodes]
    return found[0] if found else 0


def test_row_1_a_client_killed_during_the_upload_leaves_no_release_and_no_half_copy(site: Site):
    before, folders = site.live(), site.folders()
    (site.repository.path / "large").write_bytes(os.urandom(20_000_000))
    site.repository.commit("Something large")
    with site.server.altered(SLOW_LINK, MEND_LINK):
        fab = site.begin("deploy")
        received = f"test $(stat --format %s {STATE}/incoming/archive) -gt 500000"
        wait_for(lambda: site.server.try_run(received).returncode == 0, 60, "a part of the archive")
        fab.kill()
        fab.communicate()
        assert site.folders() == folders
    site.wait_until_settled()
    site.assert_serves(before)
    # The server's end is killed too, which leaves the half-copy for the next deploy to sweep up.
    site.server.run(f"head -c 1000000 /dev/urandom > {STATE}/incoming/archive")
    site.assert_the_next_deploy_succeeds()


def test_row_2_a_client_killed_during_the_migration_does_not_stop_it(site: Site, slow_migration: float):
    before = site.live()
    fab = site.begin("deploy")
    wait_for(lambda: site.server.sql(SLEEPING) == "1", 60, "the migration")
    fab.kill()
    fab.communicate()
    assert site.lock_note()["phase"] == "release"
    site.wait_until_settled()
    after = site.live()
    assert after["release"] != before["release"]
    assert site.releases()[after["release"]] == "live"
    assert site.server.sql("select version_num from alembic_version") == "0009"
    site.assert_entire(after["release"])


def test_row_2_a_killed_release_program_leaves_no_lock_and_no_command_that_goes_on(site: Site, slow_migration: float):
    before = site.live()
    fab = site.begin("deploy")
    wait_for(lambda: site.server.sql(SLEEPING) == "1", 60, "the migration")
    site.server.run(KILL_PROGRAM)
    outcome = Fab.end(fab)
    assert_told(outcome, "one: ", status=1 if outcome.status == 1 else 4)
    wait_for(lambda: site.server.sql(SLEEPING) == "0", 5, "the end of the migration that nobody waits for")
    assert site.server.sql("select to_regclass('slow_migration') is null") == "t", "a half-done migration was kept"
    site.assert_serves(before)
    site.assert_the_next_deploy_succeeds()


def test_row_3_a_dead_link_is_given_up_within_60_seconds_and_the_next_run_tells_the_truth(
    site: Site, slow_migration: float
):
    # The link stays dead until the client has given it up. What it would be like after 5 minutes is decided by then:
    # the client has ended, and the server has ended its work.
    before = site.live()
    fab = site.begin("deploy")
    wait_for(lambda: site.server.sql(SLEEPING) == "1", 60, "the migration")
    port = local_port(fab.pid, site.server.address)
    with site.server.altered(CUT_LINK.format(port=port), MEND_LINK):
        began = time.monotonic()
        outcome = Fab.end(fab, 120)
        took = time.monotonic() - began
        assert_told(outcome, "one: ", "the server goes on by itself", "fab status", status=4)
        assert took < 60, f"given up after {took:.0f} s"
        site.wait_until_settled()
        live = site.live()
        assert live["release"] != before["release"]
        assert site.status()["release"] == live["release"]
        assert site.releases()[live["release"]] == "live"
    site.assert_entire(live["release"])


def test_row_4_ctrl_c_while_it_connects_changes_nothing(site: Site):
    # Earlier than this there is no server in it: tests/unit/test_fab_cli.py.
    before = site.live()
    fab = site.begin("deploy")
    wait_for(lambda: local_port(fab.pid, site.server.address), 30, "a connection", pause=0.01)
    os.killpg(fab.pid, signal.SIGINT)
    assert_told(Fab.end(fab), "interrupted", status=130)
    site.wait_until_settled()
    site.assert_serves(before)


@pytest.mark.parametrize("phase", ["build", "release", "probe"])
def test_row_4_ctrl_c_before_the_switch_leaves_the_old_release_and_no_lock(site: Site, phase: str, request: Any):
    if phase == "release":
        request.getfixturevalue("slow_migration")
    if phase == "build":
        site.break_with("setup.cfg", "\n")
    before = site.live()
    fab = site.begin("deploy")
    site.wait_for_phase(phase)
    os.killpg(fab.pid, signal.SIGINT)
    outcome = Fab.end(fab)
    assert_told(outcome, "interrupted", status=130)
    site.wait_until_settled()
    site.assert_harmless(outcome, before, "interrupted", status=130)


def test_row_4_ctrl_c_of_the_one_who_was_refused_takes_no_lock_from_its_owner(site: Site, slow_migration: float):
    fab = site.begin("deploy")
    wait_for(lambda: site.server.sql(SLEEPING) == "1", 60, "the migration")
    waiting = site.begin("deploy", "--wait")
    time.sleep(3)
    os.killpg(waiting.pid, signal.SIGINT)
    assert_told(Fab.end(waiting), "interrupted", status=130)
    assert site.lock_note()["phase"] == "release"
    assert Fab.end(fab).status == 0


def test_row_5_of_two_deploys_at_once_the_second_is_told_who_since_when_and_which_version(
    site: Site, slow_migration: float
):
    site.repository.git("branch", "--force", "feature-x", "main")
    first = site.begin("deploy", "--version", "feature-x")
    wait_for(lambda: site.server.sql(SLEEPING) == "1", 60, "the migration")
    holder = site.lock_note()
    second = site.deploy()
    assert_told(second, str(holder["by"]), str(holder["since"]), "feature-x", status=5)
    version = site.new_version()
    third = site.begin("deploy", "--wait")
    assert Fab.end(first).status == 0
    waited = Fab.end(third)
    assert waited.status == 0, waited.everything
    assert site.live()["version"] == version
