"""`fab plan` says what a release would do, before it does it, and does nothing itself."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.faults import APP, KILL_PROGRAM, Site, assert_told

MIGRATION = '''"""{title}"""

import sqlalchemy as sa
from alembic import op

revision = "{name}"
down_revision = "{down}"


def upgrade() -> None:
    {up}


def downgrade() -> None:
    {back}
'''
HARMLESS = ('op.add_column("message", sa.Column("mood", sa.String(20)))', 'op.drop_column("message", "mood")')
VOLATILE = (
    'op.add_column("message", sa.Column("token", sa.Uuid, server_default=sa.text("gen_random_uuid()")))',
    'op.drop_column("message", "token")',
)
INDEX = ('op.create_index("ix_author", "message", ["author"])', 'op.drop_index("ix_author")')
DROPS = ('op.drop_column("message", "words")', 'op.add_column("message", sa.Column("words", sa.Integer))')
CASES = {
    "a new column": (HARMLESS, "harmless", "harmless"),
    "a volatile default": (VOLATILE, "locks-reads", "TAKES A LOCK THAT STOPS READS AND WRITES"),
    "an index not made concurrently": (INDEX, "locks-writes", "TAKES A LOCK THAT STOPS WRITES"),
    "a dropped column that is read": (DROPS, "breaks-running-code", "BREAKS THE CODE NOW RUNNING, cannot be undone"),
}


def with_migrations(site: Site, *changes: tuple[str, str]) -> None:
    """Commit migrations after the first one."""
    for number, (up, back) in enumerate(changes, 2):
        values = {"name": f"{number:04}", "down": f"{number - 1:04}", "title": "A change.", "up": up, "back": back}
        site.repository.write(f"migrations/versions/{number:04}_change.py", MIGRATION.format(**values))
    site.repository.commit("Migrations")


def everything(site: Site) -> dict[str, Any]:
    """Return all that a plan must leave as it is."""
    # Each process writes its heartbeat, and each dump a key of its own.
    dump = f"pg_dump --exclude-table-data=process {APP}"
    database = site.server.run(f"cd / && sudo -u postgres {dump} | grep -v restrict | sha256sum")
    return {
        "releases": site.fab.json("releases", "--app", APP),
        "live": site.live()["release"],
        "folders": site.server.run(f"ls -A /srv/{APP}/releases /srv/{APP}/shared"),
        "trials": site.server.run(f"ls -A /srv/{APP}/trials 2>/dev/null || true"),
        "database": database,
        "pids": sorted(row["pid"] for row in site.status()["processes"]),
        "state": site.server.run(f"cat /var/lib/windlass/{APP}/releases.jsonl /var/lib/windlass/{APP}/state.json"),
    }


@pytest.mark.parametrize("case", CASES)
def test_each_kind_of_migration_has_its_verdict_and_a_plan_changes_nothing(site: Site, case: str):
    change, code, words = CASES[case]
    before = everything(site)
    with_migrations(site, change)
    outcome = site.fab.succeed("plan", "--app", APP)
    assert f"0002  {words}" in outcome.output, outcome.everything
    assert "1 commit since the live release" in outcome.output
    made = site.fab.json("plan", "--app", APP)
    assert (made["verdict"], [item["name"] for item in made["migrations"]]) == (code, ["0002"])
    if code == "breaks-running-code":
        assert "guestbook/models.py:" in outcome.output
        assert made["migrations"][0]["verdicts"][0]["places"][0].startswith("guestbook/models.py:")
    assert everything(site) == before


def test_a_plan_tells_packages_settings_processes_and_disk(site: Site):
    text = (site.repository.path / "Procfile").read_text()
    site.repository.write("Procfile", f"{text}clock: sleep 3600\n")
    site.repository.write("guestbook/extra.py", 'import os\n\nTOKEN = os.environ["EXTRA_TOKEN"]\n')
    site.repository.commit("More")
    made = site.fab.json("plan", "--app", APP)
    assert made["processes"]["added"] == {"clock": "sleep 3600"}
    assert made["settings"]["required"] == [{"name": "EXTRA_TOKEN", "places": ["guestbook/extra.py:3"]}]
    assert "SECRET_KEY" not in {item["name"] for kind in made["settings"].values() for item in kind}
    assert made["packages"] == {"added": {}, "removed": {}, "changed": {}}
    # What another release has too costs nothing again.
    assert 0 < made["disk"]["needs"] < 5_000_000
    assert made["database"]["tool"] == "alembic"
    assert made["database"]["version"] in (15, 17)


def test_a_version_that_cannot_be_built_ends_with_1_and_says_why(site: Site):
    before = everything(site)
    site.break_with("uv.lock", "no lock at all\n")
    assert_told(site.fab("plan", "--app", APP))
    assert everything(site) == before


def test_a_deploy_with_a_plan_asks_and_without_a_terminal_wants_yes(site: Site):
    before = site.live()
    version = site.new_version()
    outcome = site.deploy("--plan")
    assert_told(outcome, "type --yes")
    assert "commits     1 commit since the live release" in outcome.output
    assert site.live()["release"] == before["release"]
    outcome = site.deploy("--plan", "--yes")
    assert outcome.status == 0, outcome.everything
    assert site.live()["version"] == version


def test_a_plan_while_a_deploy_is_under_way_is_refused_and_disturbs_nothing(site: Site):
    version = site.new_version()
    deploy = site.begin("deploy")
    site.wait_for_phase("upload", "build", "snapshot", "release", "start", "probe")
    assert_told(site.fab("plan", "--app", APP), "deploy of main", status=5)
    assert deploy.wait(timeout=120) == 0
    assert site.live()["version"] == version


def test_a_plan_that_is_killed_leaves_nothing_that_the_next_deploy_does_not_clear_away(site: Site):
    site.new_version()
    with site.server.struck(f'[ "$(ls -A /srv/{APP}/trials 2>/dev/null)" ]', KILL_PROGRAM):
        assert site.fab("plan", "--app", APP).status == 4
    assert site.deploy().status == 0
    assert not site.server.run(f"ls -A /srv/{APP}/trials /var/lib/windlass/{APP}/trials | grep -v :").strip()
