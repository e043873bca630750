"""Releases whose migrations fail, wait or are gone back over, with visitors who write all the while."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.faults import APP, Site, assert_told
from tests.support.load import Group, Load
from tests.support.server import wait_for

MIGRATION = """
import sqlalchemy as sa
from alembic import op

revision = "{name}"
down_revision = "{head}"


def upgrade():
    op.add_column("message", sa.Column("{name}", sa.Text()))
    {more}


def downgrade():
    op.drop_column("message", "{name}")
"""
HEAD = "select version_num from alembic_version"
MAINTENANCE = 503
CROWD = {"read": Group(1, 1, 0.1), "write": Group(1, 1, 0.1), "page": Group(1, 0, 0.1)}
HELD_SECONDS = 600
HOLD = f"begin; lock table message in access share mode; select pg_sleep({HELD_SECONDS})"
HOLDERS = f"from pg_stat_activity where query like '%pg_sleep({HELD_SECONDS})' and pid <> pg_backend_pid()"


@pytest.fixture
def emptied(site: Site) -> Iterator[Site]:
    """Return the site with a guestbook without messages, released as it is."""
    site.new_version()
    assert site.deploy().status == 0
    site.server.sql("delete from message")
    older = head(site)
    yield site
    site.wait_until_settled()
    if (left := head(site)) != older:
        site.server.sql(f"alter table message drop column {left}; update alembic_version set version_num = '{older}'")  # noqa: S608
    for name in site.server.sql("select datname from pg_database where datname like 'guestbook\\_%'").split():
        site.server.sql(f'drop database "{name}"', "postgres")


def head(site: Site) -> str:
    return site.server.sql(HEAD)


def migrate(site: Site, name: str, more: str = "pass") -> None:
    """Commit a version with one more migration."""
    site.new_version()
    text = MIGRATION.format(name=name, head=head(site), more=more)
    site.repository.write(f"migrations/versions/{name}.py", text)
    site.repository.commit(f"Migrate to {name}")


def written(load: Load) -> int:
    """Return how many messages were acknowledged."""
    return sum(sample.kind == "write" and sample.status == 201 for sample in load.samples)


def messages(site: Site, database: str = APP) -> int:
    return int(site.server.sql("select count(*) from message where author = 'load'", database))


def assert_only_kept_out(load: Load) -> None:
    """Check that who was not served was told so, by the maintenance page, and nobody met an error."""
    refused = [sample for sample in load.failures if sample.status != MAINTENANCE]
    assert not refused, f"{len(refused)} of {len(load.samples)}, the first: {refused[0]}"


def row(site: Site, release: str) -> dict[str, Any]:
    rows = site.fab.json("releases", "--app", APP)
    return dict(next(row for row in rows if row["release"] == release))


def test_row_18_a_rollback_over_a_migration_is_refused_and_names_the_two_ways_on(emptied: Site):
    site, older = emptied, head(emptied)
    migrate(site, "mood")
    with Load(site.visitor, CROWD) as load:
        assert site.deploy().status == 0
        before = site.live()
        outcome = site.fab("rollback", "--app", APP)
    assert not load.failures
    assert_told(outcome, older, "mood", "--downgrade", "--restore-snapshot")
    site.assert_serves(before)
    listed = row(site, before["release"])
    assert listed["head"] == ["mood"]
    assert listed["snapshot"]["bytes"] > 0
    assert head(site) == "mood"
    assert site.fab("rollback", "--app", APP, "--downgrade").status == 0
    site.assert_the_next_deploy_succeeds()


def test_row_18_a_downgrade_loses_no_row(emptied: Site):
    site, older = emptied, head(emptied)
    before = site.live()
    migrate(site, "colour")
    with Load(site.visitor, CROWD) as load:
        assert site.deploy().status == 0
        outcome = site.fab("rollback", "--app", APP, "--downgrade")
    assert outcome.status == 0, outcome.everything
    assert_only_kept_out(load)
    assert head(site) == older
    assert written(load) > 5
    assert messages(site) == written(load)
    site.assert_serves(before)
    site.assert_the_next_deploy_succeeds()


def test_row_18_a_restored_copy_takes_away_what_it_said_and_the_database_as_it_was_is_kept(emptied: Site):
    site, older = emptied, head(emptied)
    before = site.live()
    rights = site.server.sql(f"select datacl, datdba from pg_database where datname = '{APP}'")  # noqa: S608
    with Load(site.visitor, CROWD) as first:
        pass
    migrate(site, "weather")
    assert site.deploy().status == 0
    assert_told(site.fab("rollback", "--app", APP, "--restore-snapshot"), " since ", "changed", "--yes")
    with Load(site.visitor, CROWD) as load:
        outcome = site.fab("rollback", "--app", APP, "--restore-snapshot", "--yes")
    assert outcome.status == 0, outcome.everything
    assert_only_kept_out(load)
    kept = re.search(r"kept as (guestbook_\w+)", outcome.everything)
    assert kept, outcome.everything
    assert head(site) == older
    assert site.server.sql(HEAD, kept[1]) == "weather"
    # What was there before the migration is in both; what came later is in the one or in the other.
    common = written(first)
    assert messages(site) + messages(site, kept[1]) == 2 * common + written(load)
    assert site.server.sql(f"select datacl, datdba from pg_database where datname = '{APP}'") == rights  # noqa: S608
    site.assert_serves(before)
    site.assert_the_next_deploy_succeeds()


def test_row_15_a_migration_that_raises_is_undone_and_the_old_release_serves(emptied: Site):
    site, older = emptied, head(emptied)
    before = site.live()
    migrate(site, "sad", 'op.execute("select 1 / 0")')
    with Load(site.visitor, CROWD) as load:
        outcome = site.deploy()
    assert not load.failures
    assert head(site) == older
    columns = "select count(*) from information_schema.columns where table_name = 'message' and column_name = 'sad'"
    assert site.server.sql(columns) == "0"
    site.assert_harmless(outcome, before, "division by zero")


def test_row_16_a_migration_that_waits_for_a_lock_gives_up_and_traffic_flows(emptied: Site):
    site, older = emptied, head(emptied)
    before = site.live()
    migrate(site, "late")
    holder = threading.Thread(target=lambda: site.server.try_run(hold(), seconds=HELD_SECONDS))
    holder.start()
    try:
        wait_for(lambda: site.server.sql(f"select count(*) {HOLDERS}") == "1", 20, "the lock is held")
        with Load(site.visitor, CROWD) as load:
            outcome = site.deploy()
    finally:
        site.server.sql(f"select pg_terminate_backend(pid) {HOLDERS}")
        holder.join()
    assert not load.failures, load.failures[0]
    assert messages(site) == written(load)
    assert head(site) == older
    site.assert_harmless(outcome, before, "lock", "user postgres", "pg_terminate_backend(")


def hold() -> str:
    return f'cd / && runuser -u postgres -- psql --dbname {APP} --command "{HOLD}"'
