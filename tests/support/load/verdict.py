"""What a run under load comes to: failed, answered by the wrong release, and how long visitors waited."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.support.load.sample import Sample


@dataclass(frozen=True)
class Switch:
    """The phase `switch` of a deploy or a rollback, by the server's clock in seconds since the epoch.

    It ends when the server has seen that visitors get the release.
    """

    release: str
    began: float
    ended: float


def switch_of(events: str) -> Switch:
    """Return the switch that a server's events tell of (/var/lib/windlass/<app>/events.jsonl)."""
    told = [json.loads(line) for line in events.splitlines()]
    at = {event["status"]: event["at"] for event in told if event.get("phase") == "switch" and "at" in event}
    result = next(event for event in told if event["event"] == "result")
    return Switch(result["data"]["release"], at["start"], at["done"])


def misserved(samples: Iterable[Sample], first: str, switches: Sequence[Switch]) -> list[Sample]:
    """Return the answers of a release that was not live at any time between their request and them.

    A release is live from the beginning of its own switch to the end of the next one. So what is sent after a switch
    is verified has to be answered by the new release; what was under way then may be answered by either.
    The clocks of server and visitors are one: both run on the same kernel.
    """
    begins = [0.0, *(switch.began for switch in switches)]
    ends = [*(switch.ended for switch in switches), float("inf")]
    live = list(zip([first, *(switch.release for switch in switches)], begins, ends, strict=True))

    def was_live(sample: Sample) -> bool:
        return any(
            release == sample.release and began <= sample.ended and sample.sent <= ended
            for release, began, ended in live
        )

    return [sample for sample in samples if sample.release and not was_live(sample)]


def under_way(samples: Iterable[Sample], moment: float) -> int:
    """Return how many requests were under way at a moment."""
    return sum(sample.sent < moment < sample.ended for sample in samples)


def table(samples: Sequence[Sample], wrong: Sequence[Sample]) -> list[str]:
    """Return the counts and the waiting times (seconds) of each kind, and of all."""
    kinds = sorted({(sample.kind, sample.kept) for sample in samples})
    heading = f"{'request':<14}{'sent':>8}{'failed':>8}{'wrong':>7}{'median':>9}{'95 %':>8}{'99 %':>8}{'worst':>8}"
    lines = [heading]
    for kind, kept in kinds:
        chosen = [sample for sample in samples if (sample.kind, sample.kept) == (kind, kept)]
        missed = sum((sample.kind, sample.kept) == (kind, kept) for sample in wrong)
        lines.append(_row(f"{kind}, {'kept' if kept else 'new'}", chosen, missed))
    return [*lines, _row("all", samples, len(wrong))]


def _row(name: str, samples: Sequence[Sample], wrong: int) -> str:
    waits = sorted(sample.seconds for sample in samples)
    failed = sum(sample.failed for sample in samples)
    times = "".join(f"{percentile(waits, share):>8.2f}" for share in (0.95, 0.99, 1.0))
    return f"{name:<14}{len(samples):>8,}{failed:>8}{wrong:>7}{percentile(waits, 0.5):>9.2f}{times}"


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the value that a share of the ordered values does not exceed; 0 when there are none."""
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
