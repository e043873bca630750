"""docs/baselines.yml: complete, and each control answered by something that is there."""

from __future__ import annotations

import re

import pytest

from tests.support import baselines, project
from tests.support.baselines import Control

CONTROLS = baselines.controls()


def numbered(prefix: str, last: int, *, without: tuple[int, ...] = (), more: tuple[str, ...] = ()) -> set[str]:
    """Return names such as os-01 up to a number."""
    return {f"{prefix}-{number:02}" for number in range(1, last + 1) if number not in without} | set(more)


# The controls that the baselines had when this list was made.
COMPLETE = {
    "linux-baseline": numbered("os", 16, more=("os-03b", "os-05b"))
    | numbered("package", 9, without=(4,))
    | numbered("sysctl", 34, without=(31,), more=("sysctl-31a", "sysctl-31b")),
    "ssh-baseline": numbered("sshd", 48, without=(26,)) | numbered("ssh", 21, without=(14, 15)),
    "nginx-baseline": numbered("nginx", 17, without=(11,)),
    "postgres-baseline": numbered("postgres", 20),
}


@pytest.mark.parametrize("baseline", COMPLETE)
def test_every_control_of_a_baseline_is_answered(baseline: str):
    answered = [control.name for control in CONTROLS if control.baseline == baseline]
    assert set(answered) == COMPLETE[baseline]
    assert len(answered) == len(set(answered))


def test_no_other_baseline_is_named():
    assert {control.baseline for control in CONTROLS} == {*COMPLETE, "lynis"}


@pytest.mark.parametrize("control", CONTROLS, ids=str)
def test_a_control_says_what_holds_it_or_why_nothing_does(control: Control):
    assert control.title
    assert control.is_held or control.test or control.waived or control.unseen, (
        "nothing holds it, and no reason is given"
    )
    assert bool(control.command) == bool(control.prints), "a command says what it prints"
    for reason in (control.waived, control.unseen):
        assert not reason or re.fullmatch(r'[A-Za-z"0-9].{10,}\.', reason), f"no sentence: {reason}"
    if control.baseline == "lynis":
        assert control.waived


@pytest.mark.parametrize("control", [control for control in CONTROLS if control.test], ids=str)
def test_the_test_that_shows_a_control_is_there(control: Control):
    file, _, name = control.test.partition("::")
    text = (project.ROOT / file).read_text()
    assert not name or re.search(rf"^def {name}\(", text, re.MULTILINE), f"{file} has no {name}"


def test_a_setting_of_the_kernel_that_a_control_asks_for_is_set():
    """By the role, whatever the kernel's own default is: another kernel may have another."""
    text = (project.ROOT / "roles" / "hardening" / "vars" / "main.yml").read_text()
    asked = {name: value for control in CONTROLS for name, value in control.sysctl.items()}
    asked.pop("kernel.modules_disabled")  # cannot be taken back: left at its default
    assert len(asked) > 30
    assert [f"{name}: {value}" for name, value in asked.items() if f"  {name}: {value}\n" not in text] == []
