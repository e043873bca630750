"""What the server itself goes through: processes that are killed, memory that runs out, reboots. These come last."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.support import playbook
from tests.support.faults import APP, KILL_PROGRAM, Site, assert_told
from tests.support.load import Group, Load
from tests.support.server import wait_for

STATE = f"/var/lib/windlass/{APP}"
DATABASE = "postgresql@17-main"
# A phase of a few milliseconds may be over before the blow falls.
TRIES = 5


def web_processes(site: Site) -> set[int]:
    """Return the processes of the app's user whose command line is gunicorn's."""
    return set(map(int, site.server.run(f"pgrep --euid {APP} --full gunicorn || true").split()))


def releases_of_processes(site: Site) -> set[str]:
    """Return the releases in which processes of the app's user work."""
    script = f"for pid in $(pgrep --euid {APP}); do readlink /proc/$pid/cwd; done | cut -d/ -f5 | sort -u"
    return set(site.server.run(script).split())


def test_row_22_after_supervisord_is_killed_there_is_one_generation_of_the_live_release_within_10_seconds(site: Site):
    before = site.live()
    old = web_processes(site)
    site.server.run("systemctl kill --kill-whom=main --signal=KILL supervisor")
    killed = time.monotonic()

    def is_back() -> bool:
        now = web_processes(site)
        return bool(now) and not now & old and site.visitor.ask("/healthz").status == 200

    wait_for(is_back, 10, "a new generation")
    print(f"back after {time.monotonic() - killed:.1f} s")
    site.assert_entire(before["release"])
    assert releases_of_processes(site) == {before["release"]}
    masters = [row for row in site.status()["processes"] if row["name"].startswith("web") and row["state"] == "RUNNING"]
    assert len(masters) == 1
    site.assert_the_next_deploy_succeeds()


def test_row_22_supervisord_killed_during_a_deploy_is_survived_too(site: Site):
    site.new_version()
    with site.server.struck(
        site.in_phase("start", "probe"), "systemctl kill --kill-whom=main --signal=KILL supervisor"
    ):
        outcome = site.deploy()
    if outcome.status:
        assert_told(outcome, "one: ", status=outcome.status)
    wait_for(lambda: site.visitor.ask("/healthz").status == 200, 15, "the app")
    site.assert_entire(site.live()["release"])
    site.assert_the_next_deploy_succeeds()


def test_row_23_a_killed_worker_of_the_web_respawns_and_the_others_serve(site: Site):
    # The kernel's own choice is the next test; here is what follows from it, the SIGKILL.
    with Load(site.visitor, {"read": Group(2, 0, 0.05)}) as load:
        master = next(row["pid"] for row in site.status()["processes"] if row["name"].startswith("web"))
        workers = site.server.run(f"pgrep --parent {master}").split()
        assert len(workers) > 1
        site.server.run(f"kill -KILL {workers[0]}")
        wait_for(lambda: set(site.server.run(f"pgrep --parent {master}").split()) - set(workers), 10, "a new worker")
        time.sleep(1)
    # What was in the killed worker's hands is lost, and nothing else.
    assert len(load.failures) <= 2, load.failures[:3]
    assert len(load.samples) > 20


def test_row_23_the_kernel_takes_an_app_rather_than_the_database(site: Site):
    scores = {}
    for name, user in (("app", APP), ("database", "postgres")):
        script = f"for pid in $(pgrep --euid {user}); do cat /proc/$pid/oom_score_adj; done"
        scores[name] = [int(score) for score in site.server.run(script).split()]
    # The children of a database hold little each; its first process takes all of them with it.
    first = site.server.run(f"cat /proc/$(systemctl show --property MainPID --value {DATABASE})/oom_score_adj")
    assert int(first) < min(scores["app"]), scores


def test_row_23_of_an_app_without_memory_one_worker_is_killed_and_the_database_is_not(site: Site):
    if "memory" not in site.server.run("cat /sys/fs/cgroup/cgroup.controllers").split():
        pytest.skip("not verified: this kernel gives its containers no memory controller, so none can be limited")
    first = f"systemctl show --property MainPID --value {DATABASE}"
    before = site.server.run(first)
    limit = "systemctl set-property --runtime supervisor.service MemoryMax=400M MemorySwapMax=0"
    with site.server.altered(limit, "systemctl revert supervisor.service"):
        eat = "b = b''.join(bytes([65]) * 1000000 for _ in range(2000))"
        site.fab("run", "--app", APP, f'python -c "{eat}"')
        wait_for(lambda: site.visitor.ask("/healthz").status == 200, 15, "the app")
    assert site.server.run(first) == before


def test_row_26_an_invalid_configuration_of_nginx_is_never_installed_and_the_old_one_serves(site: Site):
    # The owner's addition is wrong, and the rest changes: what the role would install is checked with all of it.
    installed = site.server.run("sha256sum /etc/nginx/nginx.conf")
    wrong = "echo 'no_such_word on;' > /etc/nginx/conf.d/fault.conf"
    with site.server.altered(wrong, "rm /etc/nginx/conf.d/fault.conf"):
        change = json.dumps({"nginx_hsts_seconds": 60})
        refused = playbook.play(site.fab.inventory, "--tags", "nginx", "-e", change)
        assert refused.returncode != 0, refused.stdout[-2000:]
        assert "no_such_word" in refused.stdout
        assert site.server.run("sha256sum /etc/nginx/nginx.conf") == installed
        assert site.visitor.ask("/healthz").status == 200
    with site.server.altered(
        "cp -p /etc/nginx/nginx.conf /run/nginx.conf.whole; echo 'no_such_word;' >> /etc/nginx/nginx.conf",
        "cat /run/nginx.conf.whole > /etc/nginx/nginx.conf",
    ):
        refused = site.server.try_run("/usr/local/sbin/windlass-nginx reload")
        assert refused.returncode != 0 and "no_such_word" in refused.stderr
        assert site.visitor.ask("/healthz").status == 200
        site.assert_the_next_deploy_succeeds()
    site.server.run("/usr/local/sbin/windlass-nginx reload")
    assert site.visitor.ask("/healthz").status == 200


def test_row_19_with_the_database_down_a_deploy_fails_in_check_before_any_upload(site: Site):
    before = site.live()
    with site.server.altered(f"systemctl stop {DATABASE}", f"systemctl start {DATABASE}"):
        outcome = site.deploy()
        assert_told(outcome, "one: ", "postgresql", "does not answer", "systemctl status", status=1)
        assert "upload" not in outcome.errors, outcome.everything
    wait_for(lambda: site.visitor.ask("/healthz").status == 200, 30, "the app, with its database again")
    site.assert_harmless(outcome, before, "postgresql")


@pytest.mark.parametrize("phase", ["probe", "retire"])
def test_row_6_a_reboot_during_a_deploy_boots_into_the_old_or_the_new_release_entire(site: Site, phase: str):
    before, booted = site.live(), site.server.boot_time()
    version = site.new_version()
    # A worker that does not end makes `retire` last.
    workers = [str(row["pid"]) for row in site.status()["processes"] if row["name"].startswith("worker")]
    site.server.run(f"kill -STOP {' '.join(workers)}")
    with site.server.struck(site.in_phase(phase), "systemctl reboot"):
        outcome = site.deploy()
    site.server.wait_for_boot_after(booted)
    assert_told(outcome, "one: ", status=outcome.status)
    assert outcome.status in (1, 3, 4), outcome.everything
    wait_for(lambda: site.visitor.ask("/healthz").status == 200, 60, "the app after the reboot")
    live = site.live()
    assert live["version"] in (before["version"], version)
    site.assert_entire(live["release"])
    assert releases_of_processes(site) == {live["release"]}
    assert site.status()["deploy"] is None, "a stale lock"
    site.assert_the_next_deploy_succeeds()


@pytest.mark.parametrize("phase", ["start", "switch"])
def test_row_6_a_release_program_killed_in_a_phase_leaves_one_release_entire_and_no_lock(site: Site, phase: str):
    for _ in range(TRIES):
        before = site.live()
        version = site.new_version()
        with site.server.struck(site.in_phase(phase), KILL_PROGRAM):
            outcome = site.deploy()
        site.wait_until_settled()
        if outcome.status:
            break
    assert_told(outcome, "one: ", status=outcome.status)
    assert site.live()["version"] in (before["version"], version)
    site.assert_the_next_deploy_succeeds()


def test_row_2_what_a_killed_watcher_keeps_is_cleared_up_by_the_server_within_two_minutes(site: Site):
    release = site.live()["release"]
    settings = f"/etc/windlass/{APP}.json"
    longer = (
        f"""cp -p {settings} {settings}.whole && sed -i 's/"watch_seconds": [0-9]*/"watch_seconds": 3600/' {settings}"""
    )
    with site.server.altered(longer, f"mv {settings}.whole {settings}"):
        site.new_version()
        assert site.deploy().status == 0
        webs = [row["release"] for row in site.status()["processes"] if row["name"].startswith("web")]
        assert release in webs and len(set(webs)) == 2, webs
        site.server.run(KILL_PROGRAM)
        live = site.live()["release"]
        wait_for(lambda: releases_of_processes(site) == {live}, 120, "the release before has ended", pause=2)
    site.server.run(f"test ! -e /var/lib/windlass/{APP}/watch.json")
    site.assert_entire(live)


@pytest.fixture
def late_database(site: Site) -> Iterator[int]:
    """Have the database not start at boot; it does when the test says so, and again at every boot afterwards."""
    site.server.run("systemctl mask postgresql.service postgresql@17-main.service")
    yield 120
    site.server.run("systemctl unmask postgresql.service postgresql@17-main.service")
    site.server.run(f"systemctl start postgresql {DATABASE}")


def test_row_20_a_database_that_is_up_2_minutes_after_the_app_is_waited_for(site: Site, late_database: int):
    before = site.live()
    site.server.reboot()
    time.sleep(late_database)
    assert not any(row["state"] == "FATAL" for row in site.status()["processes"]), "somebody gave up"
    site.server.run("systemctl unmask postgresql.service postgresql@17-main.service")
    site.server.run(f"systemctl start {DATABASE}")
    wait_for(lambda: site.visitor.ask("/healthz").status == 200, 30, "the app, once its database is up")
    site.assert_entire(before["release"])
    site.assert_the_next_deploy_succeeds()
