"""Releases and rollbacks, with visitors on the site."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.support.fab import Fab
from tests.support.load import Load
from tests.support.repository import Repository
from tests.support.visitor import Visitor

HEALTHZ_FAILS = (
    'def healthz() -> ResponseReturnValue:\n    """Fail."""\n    return {"status": "broken"}, 500\n\n\ndef unused()'
)


@pytest.fixture
def main(released: Repository) -> Iterator[Repository]:
    """Return the repository, and put `main` back where it was."""
    before = released.git("rev-parse", "main")
    yield released
    released.git("checkout", "--quiet", "--force", "main")
    released.git("reset", "--quiet", "--hard", before)


def assert_nobody_noticed(load: Load) -> None:
    """Check that there was load, and that no request failed."""
    assert len(load.samples) > 50, "there was no load to speak of"
    assert {sample.kind for sample in load.samples} == {"read", "write", "slow"}
    assert not load.failures, f"{len(load.failures)} of {len(load.samples)} failed, the first: {load.failures[0]}"


def worker_releases(guestbook: Visitor) -> set[str]:
    """Return the releases of the workers that are alive."""
    return {worker["release"] for worker in guestbook.ask("/stats").json["workers"] if worker["seconds_ago"] < 3}


def test_a_second_version_is_released_and_rolled_back_under_load_and_no_request_fails(
    fab: Fab, main: Repository, guestbook: Visitor
):
    total = guestbook.ask("/api/messages", method="POST", data={"author": "Ada", "text": "stays"}).json["id"]
    first = guestbook.ask("/version").json
    main.set_version("2.0.0")
    with Load(guestbook) as load:
        time.sleep(1)
        fab.succeed("deploy", "--app", "guestbook")
        switched = time.time()
        time.sleep(2)
    assert_nobody_noticed(load)
    second = guestbook.ask("/version").json
    assert second["version"] == "2.0.0"
    assert set(load.releases_since(switched)) == {second["release"]}
    time.sleep(3)
    assert worker_releases(guestbook) == {second["release"]}

    with Load(guestbook) as load:
        time.sleep(1)
        fab.succeed("rollback", "--app", "guestbook")
        switched = time.time()
        time.sleep(2)
    assert_nobody_noticed(load)
    assert set(load.releases_since(switched)) == {first["release"]}
    assert guestbook.ask("/version").json["release"] == first["release"]
    time.sleep(3)
    assert worker_releases(guestbook) == {first["release"]}
    assert guestbook.ask(f"/api/messages/{total}").json["text"] == "stays"


def test_a_release_rolled_back_from_is_marked_bad_and_no_rollback_lands_on_it(
    fab: Fab, main: Repository, guestbook: Visitor
):
    main.set_version("2.1.0")
    fab.succeed("deploy", "--app", "guestbook")
    bad = guestbook.ask("/version").json["release"]
    fab.succeed("rollback", "--app", "guestbook")
    statuses = {entry["release"]: entry["status"] for entry in fab.json("releases", "--app", "guestbook")}
    assert statuses[bad] == "bad"
    refused = fab("rollback", "--app", "guestbook", "--to", bad)
    assert refused.status != 0
    assert bad in refused.errors


def break_import(repository: Repository) -> None:
    repository.write("guestbook/version.py", 'raise RuntimeError("broken at import")\n')


def break_health(repository: Repository) -> None:
    path = repository.path / "guestbook" / "ops" / "__init__.py"
    text = path.read_text().replace("def healthz()", HEALTHZ_FAILS, 1)
    assert "broken" in text
    path.write_text(text)


def break_migration(repository: Repository) -> None:
    repository.write(
        "migrations/versions/0002_raises.py",
        'revision = "0002"\ndown_revision = "0001"\n\n\ndef upgrade():\n    raise RuntimeError("broken migration")\n',
    )


@pytest.mark.parametrize(
    ("breakage", "reason"),
    [
        pytest.param(break_import, "broken at import", id="fails to import"),
        pytest.param(break_health, "500", id="health path answers 500"),
        pytest.param(break_migration, "broken migration", id="migration raises"),
    ],
)
def test_a_version_that_does_not_work_is_refused_with_its_reason_and_visitors_never_notice(
    fab: Fab, main: Repository, guestbook: Visitor, breakage, reason: str
):
    before = guestbook.ask("/version").json
    breakage(main)
    main.commit("Broken")
    with Load(guestbook) as load:
        outcome = fab("deploy", "--app", "guestbook")
    assert outcome.status == 1, outcome.everything
    assert reason in outcome.errors, outcome.everything
    assert "Traceback" not in outcome.errors.splitlines()[0]
    assert_nobody_noticed(load)
    assert set(load.releases_since(0)) == {before["release"]}
    assert guestbook.ask("/version").json["release"] == before["release"]


def test_the_next_release_succeeds_with_no_repair_by_hand(fab: Fab, main: Repository, guestbook: Visitor):
    break_import(main)
    main.commit("Broken")
    assert fab("deploy", "--app", "guestbook").status == 1
    main.git("reset", "--quiet", "--hard", "HEAD~1")
    main.set_version("3.0.0")
    fab.succeed("deploy", "--app", "guestbook")
    assert guestbook.ask("/version").json["version"] == "3.0.0"


def test_the_other_app_is_left_alone(fab: Fab, main: Repository, visitors: Visitor):
    before = visitors.ask("/version").json
    fab.succeed("deploy", "--app", "guestbook")
    assert visitors.ask("/version").json["release"] == before["release"]


@pytest.mark.parametrize("version", ["no-such-branch", "x;touch /tmp/p", "$(id)", "--upload-pack=x"])
def test_an_unknown_or_malformed_version_is_refused_in_one_line(fab: Fab, guestbook: Visitor, version: str):
    before = guestbook.ask("/version").json["release"]
    outcome = fab("deploy", "--app", "guestbook", f"--version={version}")
    assert outcome.status == 2
    assert len(outcome.errors.strip().splitlines()) == 1, outcome.everything
    assert guestbook.ask("/version").json["release"] == before


def test_an_unknown_app_is_refused_in_one_line_that_names_the_apps_there_are(fab: Fab):
    outcome = fab("deploy", "--app", "guestbok")
    assert outcome.status == 2
    assert len(outcome.errors.strip().splitlines()) == 1, outcome.everything
    assert "guestbook" in outcome.errors


def test_check_says_that_a_release_can_be_made_from_here(fab: Fab, guestbook: Visitor):
    fab.succeed("check", "--app", "guestbook")
