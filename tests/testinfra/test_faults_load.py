"""Deploys and rollbacks in a row, the app busy and visitors waiting: no request fails, none is misserved.

script/bench releases does the same twenty times over.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.support import fleet, playbook
from tests.support.faults import Site
from tests.support.load.series import Series, run_series

ROUNDS = 5
FEWER_ROUNDS = 2
KEPT_CONNECTIONS = 16


@pytest.fixture
def kept_connections(inventory: Path) -> Iterator[None]:
    """Have nginx keep connections to the app."""
    folder = inventory.with_name(f"{inventory.name}-kept")
    folder.mkdir(exist_ok=True)
    fleet.link(inventory, folder, "hosts.yml", "known_hosts", "keys", "repositories", "ca.pem")
    variables = folder / "group_vars" / "all"
    variables.mkdir(parents=True, exist_ok=True)
    for file in (inventory / "group_vars" / "all").iterdir():
        values = yaml.safe_load(file.read_text())
        for app in values.get("apps", []):
            app["upstream_keepalive"] = KEPT_CONNECTIONS
        (variables / file.name).write_text(yaml.safe_dump(values))
    try:
        playbook.succeed(folder, "--tags", "app,nginx")
        yield
    finally:
        playbook.succeed(inventory, "--tags", "app,nginx")


def assert_nobody_noticed(series: Series, rounds: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Check that there was the load that is meant, and what became of it; print the figures in any case."""
    with capsys.disabled():
        print("", *series.report(), sep="\n")
    assert len(series.rollouts) == 2 * rounds
    for rollout in series.rollouts:
        assert series.waiting(rollout) > series.slots, f"the app was not full when {rollout} happened"
    failed, wrong = series.failed, series.wrong
    assert not failed, f"{len(failed)} of {len(series.samples)} failed, the first: {failed[0]}"
    assert not wrong, f"{len(wrong)} of {len(series.samples)} were served by the wrong release, the first: {wrong[0]}"
    assert series.rows == series.acknowledged, "what the app acknowledged is not what the database holds"


def test_no_request_fails_or_meets_the_wrong_release_while_all_threads_are_busy(
    site: Site, capsys: pytest.CaptureFixture[str]
):
    assert_nobody_noticed(run_series(site, ROUNDS), ROUNDS, capsys)


def test_no_request_fails_or_meets_the_wrong_release_while_the_sockets_queue_is_full(
    site: Site, capsys: pytest.CaptureFixture[str]
):
    series = run_series(site, FEWER_ROUNDS, one_at_a_time=True)
    assert_nobody_noticed(series, FEWER_ROUNDS, capsys)


def test_no_request_fails_or_meets_the_wrong_release_while_nginx_keeps_connections_to_the_app(
    site: Site, kept_connections: None, capsys: pytest.CaptureFixture[str]
):
    assert_nobody_noticed(run_series(site, FEWER_ROUNDS), FEWER_ROUNDS, capsys)
