"""A full disk, wherever it is full: what serves goes on serving, somebody is told, and all is well with room again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.support.faults import APP, Site, assert_told
from tests.support.server import Server, wait_for
from tests.support.visitor import Visitor

STATE = f"/var/lib/windlass/{APP}"
PGDATA = "/var/lib/postgresql"


@contextlib.contextmanager
def own_filesystem(
    server: Server, folder: str, size: str, *, then: str = "true", first: str = "true"
) -> Iterator[None]:
    """Have a small file system where a folder was, with what the folder held; `first` is run before that is undone."""
    options = f"size={size},nr_inodes=100k,mode=$(stat --format 0%a {folder})"
    mount = f"set -e; rm -rf {folder}.copy; cp -a {folder} {folder}.copy; mount -t tmpfs -o {options} fault {folder}; "
    mount += f"chown --reference {folder}.copy {folder}; cp -a {folder}.copy/. {folder}/; {then}"
    unmount = f"set -e; {first}; rm -rf {folder}/.full {folder}.copy; cp -a {folder} {folder}.after; "
    # What is mounted further down stays.
    unmount += f"umount --lazy {folder}; find {folder} -mindepth 1 -delete 2>/dev/null || true; "
    unmount += f"cp -a {folder}.after/. {folder}/; "
    with server.altered(mount, f"{unmount} rm -rf {folder}.after"):
        yield


def filling(folder: str, *, leave_kb: int = 0) -> str:
    """Return the shell's command that leaves this much room in a file system, and no more."""
    free = f"$(($(stat --file-system --format '%a * %S / 1024' {folder}) - {leave_kb}))"
    return f"head -c {free}K /dev/zero > {folder}/.full 2>/dev/null || true; sync"


def fill(server: Server, folder: str, *, leave_kb: int = 0) -> None:
    """Leave this much room in a file system, and no more."""
    server.run(filling(folder, leave_kb=leave_kb))


def use_up_inodes(server: Server, folder: str, *, leave: int = 0) -> None:
    """Leave this many inodes in a file system, and no more."""
    count = f"$(($(stat --file-system --format %d .) - {leave}))"
    server.run(f"mkdir -p {folder}/.full && cd {folder}/.full && seq {count} | xargs touch")


def make_room(server: Server, folder: str) -> None:
    """Remove what `fill` and `use_up_inodes` made."""
    server.run(f"rm -rf {folder}/.full")


@pytest.fixture(scope="module")
def own_home(server: Server, guestbook: Visitor) -> Iterator[str]:
    """Have the app's place be a file system of its own: releases, cache and all."""
    folder = f"/srv/{APP}"
    size = int(server.run(f"du -sm {folder} | cut -f1")) + 600
    with own_filesystem(server, folder, f"{size}m"):
        yield folder
    server.run("systemctl restart supervisor")  # what was started there would stay on a disk that is no more
    wait_for(lambda: guestbook.ask("/healthz").status == 200, 60, "the app where it was")


def test_row_7_a_full_disk_is_found_by_check_before_anything_is_sent(site: Site, own_home: str):
    before, folders = site.live(), site.folders()
    fill(site.server, own_home, leave_kb=50_000)
    site.new_version()
    outcome = site.deploy()
    assert_told(outcome, "disk: ", "MB free", "remove", status=1)
    assert "upload" not in outcome.errors
    checked = site.fab("check", "--app", APP)
    assert checked.status == 1 and "MB free" in checked.output
    assert site.folders() == folders
    make_room(site.server, own_home)
    use_up_inodes(site.server, own_home, leave=500)
    assert_told(site.deploy(), "inodes: ", "remove", status=1)
    make_room(site.server, own_home)
    site.assert_harmless(outcome, before, "disk: ")


@pytest.mark.parametrize("what", ["space", "inodes"])
def test_row_7_a_disk_that_fills_up_during_the_build_leaves_nothing_half_made(site: Site, own_home: str, what: str):
    before, folders = site.live(), site.folders()
    # A small archive, which promises nothing bad, unpacks to more than there is room for.
    if what == "space":
        fill(site.server, own_home, leave_kb=330_000)
        (site.repository.path / "large").write_bytes(bytes(400_000_000))
    else:
        use_up_inodes(site.server, own_home, leave=11_000)
        for number in range(13_000):
            site.repository.write(f"many/{number}", "")
    site.repository.commit("More than there is room for")
    outcome = site.deploy()
    assert_told(outcome, "one: ", "No space left", status=1)
    make_room(site.server, own_home)
    assert site.folders() == folders
    site.assert_harmless(outcome, before, "one: ")


@pytest.mark.parametrize("phase", ["build", "release"])
def test_row_7_a_full_disk_where_the_release_program_writes_is_told_and_undone(site: Site, phase: str):
    before, folders = site.live(), site.folders()
    procfile = (site.repository.path / "Procfile").read_text()
    site.break_with("Procfile", procfile.replace("release: ", "release: sleep 4 && "))
    with own_filesystem(site.server, STATE, "400m"):
        with site.server.struck(site.in_phase(phase), filling(STATE)):
            outcome = site.deploy()
        # What it has to write may still fit into the last block.
        assert outcome.status in (0, 1, 3), outcome.everything
        if outcome.status:
            assert_told(outcome, "one: ", status=outcome.status)
        if outcome.status == 1:
            assert site.live()["release"] == before["release"]
            assert site.folders() == folders
        make_room(site.server, STATE)
        site.assert_entire(site.live()["release"])
    site.assert_the_next_deploy_succeeds()


def mails(server: Server, words: str) -> int:
    return int(server.run(f"grep -c '^Subject: .*{words}' /var/mail/admin || true") or 0)


def test_row_8_with_a_full_database_disk_the_app_answers_reads_the_alarm_is_raised_and_no_wal_is_deleted(site: Site):
    server = site.server
    message = {"author": "Ada", "text": "written before the disk was full"}
    posted = site.visitor.ask("/api/messages", method="POST", data=message).json["id"]
    full_before, well_before = mails(server, f"nearly full: .*{PGDATA}"), mails(server, "room again: ")
    stop, start = "systemctl stop postgresql@17-main", "systemctl start postgresql@17-main"
    size = int(server.run(f"du -sm {PGDATA} | cut -f1")) + 60
    server.run(stop)
    try:
        with own_filesystem(server, PGDATA, f"{size}m", then=start, first=stop):
            wait_for(lambda: site.visitor.ask("/healthz").status == 200, 60, "the database on its own file system")
            fill(server, PGDATA)
            wal = set(server.run(f"ls {PGDATA}/17/main/pg_wal").split())
            write_until_refused(site)
            assert site.visitor.ask(f"/api/messages/{posted}").json["text"] == message["text"]
            assert site.visitor.ask("/healthz").status == 200
            wait_for(lambda: mails(server, f"nearly full: .*{PGDATA}") > full_before, 150, "the alarm's mail", pause=2)
            assert site.visitor.ask(f"/api/messages/{posted}").json["text"] == message["text"]
            gone = wal - set(server.run(f"ls {PGDATA}/17/main/pg_wal").split())
            assert not gone, "somebody deleted WAL"
            make_room(server, PGDATA)
            wait_for(lambda: writes(site), 60, "a write, with room again")
            wait_for(lambda: mails(server, "room again: ") > well_before, 150, "the mail that all is well", pause=2)
            assert mails(server, f"nearly full: .*{PGDATA}") == full_before + 1, "one mail, not one a minute"
    finally:
        server.run(start)
    wait_for(lambda: writes(site), 60, "a write, with the database where it was")
    server.sql("drop table if exists filling")
    site.assert_the_next_deploy_succeeds()


def writes(site: Site) -> bool:
    """Say whether a message can be written."""
    data = {"author": "Ada", "text": "is there room?"}
    return site.visitor.ask("/api/messages", method="POST", data=data).status == 201


def write_until_refused(site: Site) -> None:
    """Write until the database takes no more."""
    rows = "select repeat(md5(random()::text), 99) from generate_series(1, 3000)"
    query = f"create table if not exists filling (data text); insert into filling {rows}"
    psql = "runuser -u postgres -- psql --no-psqlrc --quiet --dbname guestbook --command"
    for _ in range(60):
        refused = site.server.try_run(f'cd / && {psql} "{query}"')
        if refused.returncode:
            assert "No space left" in refused.stderr
            return
    raise AssertionError("the disk was never full")


def test_row_9_with_a_full_disk_where_logs_go_the_app_serves_and_is_released(site: Site):
    with own_filesystem(site.server, "/var/log", "100m"):
        site.server.run("systemctl restart rsyslog systemd-journald")
        fill(site.server, "/var/log")
        for _ in range(20):
            assert site.visitor.ask("/healthz").status == 200
            assert site.visitor.ask("/api/messages", method="POST", data={"author": "A", "text": "b"}).status == 201
        version = site.new_version()
        outcome = site.deploy()
        assert outcome.status == 0, outcome.everything
        assert site.live()["version"] == version
        make_room(site.server, "/var/log")
        site.server.run("systemctl stop rsyslog nginx systemd-journald || true")
    site.server.run("systemctl restart systemd-journald rsyslog nginx")
    wait_for(lambda: site.visitor.ask("/healthz").status == 200, 30, "the app, with the logs where they were")
    site.assert_the_next_deploy_succeeds()


def test_row_9_rotation_is_bounded_by_size(site: Site):
    log = f"/var/log/{APP}/app.log"
    limit = int(site.server.run("sed -n 's/.*maxsize \\([0-9]*\\)M/\\1/p' /etc/logrotate.d/windlass"))
    keep = int(site.server.run("sed -n 's/^ *rotate //p' /etc/logrotate.d/windlass"))
    site.server.run(f"head -c {limit + 1}M /dev/zero | tr '\\0' '\\n' >> {log}")
    site.server.run("systemctl start logrotate.service", seconds=120)
    assert int(site.server.run(f"stat --format %s {log}")) < 1024**2
    assert keep < 60
    assert int(site.server.run(f"ls {log}* | wc -l")) <= keep + 1
