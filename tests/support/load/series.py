"""Deploys and rollbacks in a row, with more visitors than the app has hands."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.support.faults import APP, Site
from tests.support.load import Load, crowd_for
from tests.support.load.sample import Sample
from tests.support.load.sender import TEXT
from tests.support.load.verdict import Switch, misserved, switch_of, table, under_way

SECONDS_EACH = 90.0
# The guestbook as it comes: gunicorn's threads, which take in whom they cannot serve yet.
THREADS = 4
# Processes that take one request at a time: all others wait in the socket's own queue.
ONE_AT_A_TIME = 4
ONE_AT_A_TIME_SETTINGS = f'worker_class = "sync"\nworkers = {ONE_AT_A_TIME}\n'
ROWS = f"select count(*) from message where text = '{TEXT}'"  # noqa: S608


@dataclass(frozen=True)
class Rollout:
    """One deploy or rollback of a series: by the clock of whoever asked for it, in seconds since the epoch."""

    verb: str
    began: float
    ended: float
    switch: Switch


@dataclass
class Series:
    """What came of a series, and of every request that was sent meanwhile."""

    slots: int
    first: str
    rollouts: list[Rollout] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    rows: int = 0

    @property
    def failed(self) -> list[Sample]:
        """The requests that a visitor saw fail."""
        return [sample for sample in self.samples if sample.failed]

    @property
    def wrong(self) -> list[Sample]:
        """The answers of a release that was not live."""
        return misserved(self.samples, self.first, [rollout.switch for rollout in self.rollouts])

    @property
    def acknowledged(self) -> int:
        """How many messages the app said that it had taken."""
        return sum(sample.kind in ("write", "upload") and not sample.failed for sample in self.samples)

    def waiting(self, rollout: Rollout) -> int:
        """Return how many requests to the app were under way in the middle of a switch."""
        middle = (rollout.switch.began + rollout.switch.ended) / 2
        return under_way((sample for sample in self.samples if sample.kind not in ("asset", "upload")), middle)

    def report(self) -> list[str]:
        """Return the counts and the waiting times, of every kind of request and of every rollout."""
        lines = [f"{'':<4}{'rollout':<10}{'time':>8}{'sent':>8}{'failed':>8}{'wrong':>7}{'under way':>11}{'worst':>8}"]
        wrong = self.wrong
        for number, rollout in enumerate(self.rollouts, start=1):
            meanwhile = list(_between(self.samples, rollout))
            counts = (
                f"{len(meanwhile):>8,}{sum(one.failed for one in meanwhile):>8}{len(list(_between(wrong, rollout))):>7}"
            )
            worst = max((one.seconds for one in meanwhile), default=0.0)
            seconds = rollout.ended - rollout.began
            lines.append(
                f"{number:<4}{rollout.verb:<10}{seconds:>6.1f} s{counts}{self.waiting(rollout):>11}{worst:>6.2f} s"
            )
        written = f"{self.acknowledged:,} messages were acknowledged, {self.rows:,} are in the database"
        return [
            *lines,
            "",
            *table(self.samples, wrong),
            "",
            f"the app takes {self.slots} requests at a time; {written}",
        ]


def _between(samples: Sequence[Sample], rollout: Rollout) -> Iterator[Sample]:
    return (sample for sample in samples if rollout.began <= sample.sent <= rollout.ended)


def run_series(site: Site, rounds: int, *, one_at_a_time: bool = False) -> Series:
    """Deploy and roll back so many times, under constant load, and return what came of it."""
    slots = ONE_AT_A_TIME if one_at_a_time else THREADS * (2 * (os.cpu_count() or 1) + 1)
    if one_at_a_time:
        site.repository.write("gunicorn.conf.py", ONE_AT_A_TIME_SETTINGS)
    site.new_version()
    site.fab.succeed("deploy", "--app", APP)
    series = Series(slots, str(site.live()["release"]))
    before = int(site.server.sql(ROWS))
    with Load(site.visitor, crowd_for(slots), seconds=2 * rounds * SECONDS_EACH) as load:
        for _ in range(rounds):
            site.new_version()
            for verb in ("deploy", "rollback"):
                series.rollouts.append(_roll_out(site, verb))
    series.samples = load.samples
    series.rows = int(site.server.sql(ROWS)) - before
    return series


def _roll_out(site: Site, verb: str) -> Rollout:
    began = time.time()
    site.fab.succeed(verb, "--app", APP)
    ended = time.time()
    return Rollout(verb, began, ended, switch_of(site.server.run(f"cat /var/lib/windlass/{APP}/events.jsonl")))
