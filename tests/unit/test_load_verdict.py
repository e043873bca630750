"""What the tests of releases take for a wrongly served request."""

from __future__ import annotations

import json

from tests.support.load.sample import Sample
from tests.support.load.verdict import Switch, misserved, switch_of

SWITCHES = [Switch("new", 100.0, 101.0), Switch("old", 200.0, 201.0)]


def sample(sent: float, ended: float, release: str) -> Sample:
    return Sample("read", True, 0.0, sent, ended, 200, release, "")


def wrong(sent: float, ended: float, release: str) -> bool:
    return bool(misserved([sample(sent, ended, release)], "old", SWITCHES))


def test_the_old_release_may_answer_what_was_sent_before_its_end_was_verified():
    assert not wrong(99.0, 150.0, "old")
    assert not wrong(100.9, 102.0, "old")


def test_the_old_release_is_wrong_for_what_was_sent_after_the_switch_was_verified():
    assert wrong(101.1, 101.2, "old")
    assert wrong(199.0, 199.9, "old")
    assert wrong(201.1, 201.2, "new")


def test_the_new_release_is_wrong_before_its_switch():
    assert wrong(98.0, 99.9, "new")
    assert not wrong(98.0, 100.1, "new")


def test_a_release_that_was_never_live_is_wrong_at_any_time():
    assert wrong(150.0, 150.1, "other")


def test_a_switch_is_read_from_the_events_of_the_server():
    events = [
        {"event": "phase", "phase": "probe", "status": "done", "seconds": 1.0, "at": 9.0},
        {"event": "phase", "phase": "switch", "status": "start", "at": 10.0},
        {"event": "phase", "phase": "switch", "status": "done", "seconds": 0.5, "at": 10.5},
        {"event": "result", "ok": True, "data": {"release": "new"}},
    ]
    assert switch_of("\n".join(json.dumps(event) for event in events)) == Switch("new", 10.0, 10.5)
