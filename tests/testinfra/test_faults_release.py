"""Releases that are not what they should be, and what visitors see of them: nothing."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.faults import APP, Site, assert_told
from tests.support.load import Group, Load
from tests.support.server import wait_for

HEALTH = 'def healthz() -> ResponseReturnValue:\n    """Do no good."""\n    {body}\n\n\ndef unused()'
NO_HEALTH_SECONDS = 20  # health_timeout in the scenario's inventory
REQUESTS = 10_000
ROUNDS = 10  # at most, on a slow machine
CROWD = {"read": Group(4, 2, 0.0), "write": Group(1, 0), "slow": Group(2, 0)}


def with_health(site: Site, body: str) -> None:
    """Commit a version whose health path does something else."""
    name = "guestbook/ops/__init__.py"
    text = (site.repository.path / name).read_text().replace("def healthz()", HEALTH.format(body=body), 1)
    site.break_with(name, text)


def assert_unnoticed(load: Load, release: str) -> None:
    """Check that there was load, and that all of it was answered by one release."""
    assert len(load.samples) > 20, "there was no load to speak of"
    assert not load.failures, f"{len(load.failures)} of {len(load.samples)} failed, the first: {load.failures[0]}"
    assert set(load.releases_since(0)) == {release}


def test_row_12_a_release_that_fails_at_import_is_never_switched_to(site: Site):
    before = site.live()
    site.break_with("guestbook/version.py", 'raise RuntimeError("no such luck")\n')
    with Load(site.visitor) as load:
        outcome = site.deploy()
    assert_unnoticed(load, before["release"])
    site.assert_harmless(outcome, before, "no such luck")


def test_row_13_a_health_path_that_answers_500_is_refused_and_the_end_of_the_log_is_shown(site: Site):
    before = site.live()
    with_health(site, 'current_app.logger.error("the shelf is empty"); return {}, 500')
    with Load(site.visitor) as load:
        outcome = site.deploy()
    assert_unnoticed(load, before["release"])
    assert "the shelf is empty" in outcome.errors, outcome.everything
    site.assert_harmless(outcome, before, "/healthz", "500")


def test_row_14_a_health_path_that_never_answers_is_given_up_within_its_time(site: Site):
    before = site.live()
    with_health(site, "time.sleep(300); return {}")
    began = time.monotonic()
    with Load(site.visitor) as load:
        outcome = site.deploy()
    took = time.monotonic() - began
    assert_unnoticed(load, before["release"])
    # Around the probe: the build, the start, and the stop of what does not answer.
    probe = next(line.split() for line in outcome.errors.splitlines() if line.split()[:2] == ["probe", "failed"])
    assert float(probe[2]) < NO_HEALTH_SECONDS + 5, outcome.everything
    assert took < 3 * NO_HEALTH_SECONDS
    site.assert_harmless(outcome, before, "/healthz", f"{NO_HEALTH_SECONDS} s")


def test_row_10_the_live_release_and_the_last_good_one_outlive_any_number_of_failures(site: Site):
    keep = 3  # keep_releases in the scenario's inventory
    site.new_version()
    assert site.deploy().status == 0
    good = site.live()
    site.new_version()
    assert site.deploy().status == 0
    live = site.live()
    for number in range(keep + 2):
        site.break_with("guestbook/version.py", f'raise RuntimeError("failure {number}")\n')
        assert_told(site.deploy(), f"failure {number}")
    assert {live["release"], good["release"]} <= site.folders()
    assert list(site.releases().values()).count("failed") >= keep + 2
    site.assert_serves(live)
    rolled_back = site.fab("rollback", "--app", APP)
    assert rolled_back.status == 0, rolled_back.everything
    assert site.live()["release"] == good["release"]
    site.assert_the_next_deploy_succeeds()


def test_row_11_of_10000_requests_around_switches_and_rollbacks_none_fails(site: Site):
    # The same under a load that leaves the app no free hands: test_faults_load.py.
    seen = 0
    worst = 0.0
    for _ in range(ROUNDS):
        before = site.live()["release"]
        site.new_version()
        with Load(site.visitor, CROWD) as load:
            assert site.deploy().status == 0
            deployed = time.time()
            time.sleep(3)
            leaving = time.time()
            new = site.live()["release"]
            assert site.fab("rollback", "--app", APP).status == 0
            rolled_back = time.time()
            time.sleep(3)
        assert not load.failures, f"{len(load.failures)} of {len(load.samples)} failed, the first: {load.failures[0]}"
        between = {item.release for item in load.samples if item.release and deployed < item.sent < leaving}
        assert between == {new}
        assert set(load.releases_since(rolled_back)) == {before}
        seen += len(load.samples)
        worst = max(worst, load.worst_seconds())
        if seen >= REQUESTS:
            break
    print(f"{seen} requests, the slowest read {worst:.2f} s")
    assert seen >= REQUESTS


def test_row_24_after_a_deploy_a_rollback_and_a_restart_every_process_is_of_the_live_release(site: Site):
    for verb in ("deploy", "rollback", "restart"):
        if verb == "deploy":
            site.new_version()
        outcome = site.fab(verb, "--app", APP)
        assert outcome.status == 0, outcome.everything
        release = site.live()["release"]
        site.assert_entire(release)
        assert_beats_alone(site, release)
        site.wait_until_settled()


def assert_beats_alone(site: Site, release: str) -> None:
    """Check that on this server no process of another release writes its heartbeat any more."""
    since = time.time() + 2  # the interval of heartbeats
    query = f"select distinct release from process where id like '%@one' and last_seen > to_timestamp({since})"  # noqa: S608
    wait_for(lambda: site.server.sql(query), 20, "a heartbeat")
    time.sleep(2)
    assert site.server.sql(query) == release


@pytest.mark.parametrize("version", ["x;touch /tmp/p", "x;touch${IFS}/tmp/p", "$(id)", "--upload-pack=x", "`id`"])
def test_row_32_a_version_that_could_be_read_as_a_command_is_refused(site: Site, version: str):
    before = site.live()
    if " " not in version and not version.startswith("-"):
        site.repository.git("branch", "--force", version, "main")  # git allows it
    outcome = site.fab("deploy", "--app", APP, f"--version={version}")
    assert_told(outcome, version, status=2)
    assert not Path("/tmp/p").exists()
    assert site.server.try_run("test -e /tmp/p").returncode != 0
    assert site.live()["release"] == before["release"]


def test_row_32_the_version_of_the_inventory_is_held_to_the_same(site: Site, tmp_path: Path):
    folder = tmp_path / "inventory"
    folder.mkdir()
    for part in site.fab.inventory.iterdir():
        if part.name != "group_vars":
            (folder / part.name).symlink_to(part.resolve())
    (folder / "group_vars/all").mkdir(parents=True)
    text = (site.fab.inventory / "group_vars/all/main.yml").read_text()
    assert "version: main" in text
    (folder / "group_vars/all/main.yml").write_text(text.replace("version: main", 'version: "x;touch /tmp/p"'))
    (folder / "group_vars/all/machine.yml").symlink_to((site.fab.inventory / "group_vars/all/machine.yml").resolve())
    outcome = type(site.fab)(folder)("deploy", "--app", APP)
    assert_told(outcome, "x;touch /tmp/p", status=2)
    assert not Path("/tmp/p").exists()


def test_row_33_a_setting_of_any_characters_arrives_as_it_was_written(site: Site):
    entry = yaml.safe_load((site.fab.inventory / "group_vars/all/main.yml").read_text())["apps"][0]
    written = entry["env"]["ODD"]
    for part in ("'", '"', "$", "%", "\\", "\n", "é", "`"):
        assert part in written
    code = "import json, os; print(json.dumps(os.environ['ODD']))"
    seen = json.loads(site.fab.succeed("run", "--app", APP, f'python -c "{code}"').output)
    assert seen == written
    for process in site.status()["processes"]:
        if process["state"] == "RUNNING":
            environment = f"tr '\\n\\0' '\\1\\n' < /proc/{process['pid']}/environ | grep ^ODD= && echo end"
            value = site.server.run(environment).removeprefix("ODD=").removesuffix("\nend").replace("\1", "\n")
            assert value == written, process["name"]


def remove_lock_file(site: Site) -> None:
    site.repository.git("rm", "--quiet", "uv.lock")


def remove_procfile(site: Site) -> None:
    site.repository.git("rm", "--quiet", "Procfile")


def move_into_a_subfolder(site: Site) -> None:
    names = [path.name for path in site.repository.path.iterdir() if path.name != ".git"]
    (site.repository.path / "backend").mkdir()
    site.repository.git("mv", *names, "backend/")


def break_a_requirement(site: Site) -> None:
    site.repository.git("rm", "--quiet", "uv.lock", "pyproject.toml")
    site.repository.write("requirements.txt", "flask\nno-such-package-as-this-one==1.2.3\n")


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        pytest.param(remove_lock_file, None, id="without a lock file"),
        pytest.param(remove_procfile, ["Procfile", "wsgi"], id="without a Procfile"),
        pytest.param(move_into_a_subfolder, ["directory: backend"], id="in a subfolder"),
        pytest.param(break_a_requirement, ["no-such-package-as-this-one"], id="with a broken requirement"),
    ],
)
def test_row_40_a_repository_of_another_shape_works_or_is_told_what_to_add(site: Site, shape: Any, words: Any):
    before = site.live()
    shape(site)
    site.repository.commit("Another shape")
    outcome = site.deploy()
    if words is None:
        assert outcome.status == 0, outcome.everything
        assert site.live()["release"] != before["release"]
    else:
        site.assert_harmless(outcome, before, *words)
