"""`fab scale`: one value of the inventory changes, and each server follows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible.plugins.filter.core import to_nice_json

from windlass import inventory_edit, messages, scale
from windlass.errors import Status
from windlass.inventory import App, Environment, Host
from windlass.server.processes import scale as server_scale

HOSTS = tuple(Host(name, "192.0.2.1", 22, "deploy", None, None) for name in ("web1", "web2"))  # type: ignore[arg-type]
HEAD = "# Our shop.\n---\nadmin_email: 'ann@example.com'   # that is me\n\napps:\n"
TAIL = "\n\n\n# The end, without a newline"
KEPT = f"""  - name: other
    scale: {{worker: 9}}
    env: {{KEY: !vault "x", SECRET: "{{{{ vault_x }}}}"}}{TAIL}"""

# The entry before, the counts, the entry after: nothing else of the file may change.
EDITS: dict[str, tuple[str, Mapping[str, int], str]] = {
    "none": (
        "  - name: shop  # ours\n    domains: [a.example.com]\n",
        {"worker": 4},
        "  - name: shop  # ours\n    scale: {worker: 4}\n    domains: [a.example.com]\n",
    ),
    "flow": (
        "  - name: 'shop'\n    scale: {worker:  2, clock: 1}  # two will do\n",
        {"worker": 14, "mail": 3},
        "  - name: 'shop'\n    scale: {worker:  14, clock: 1, mail: 3}  # two will do\n",
    ),
    "block": (
        "  - domains: [a]\n    scale:\n        worker: 2   # busy\n    name: shop\n",
        {"worker": 3, "web": 5},
        "  - domains: [a]\n    scale:\n        worker: 3   # busy\n        web: 5\n    name: shop\n",
    ),
    "empty": ("  - name: shop\n    scale: {}\n", {"worker": 0}, "  - name: shop\n    scale: {worker: 0}\n"),
    "null": ("  - name: shop\n    scale:\n", {"worker": 2}, "  - name: shop\n    scale: {worker: 2}\n"),
    "one line": (
        "  - {name: shop, domains: [a]}\n",
        {"worker": 2, "web": 3},
        "  - {name: shop, scale: {worker: 2, web: 3}, domains: [a]}\n",
    ),
    "same": ("  - name: shop\n    scale: {worker: 2}\n", {"worker": 2}, "  - name: shop\n    scale: {worker: 2}\n"),
    "name last": (
        "  - domains: [a]\n    name: shop\n",
        {"a": 1},
        "  - domains: [a]\n    name: shop\n    scale: {a: 1}\n",
    ),
}
NOT_PLAIN = {
    "template": 'apps: "{{ vault_apps }}"\n',
    "name is rendered": 'apps:\n  - name: "{{ vault_name }}"\n',
    "another file": "admin_email: ann@example.com\n",
    "anchor": "vault_s: &s {worker: 1}\napps:\n  - name: shop\n    scale: *s\n",
    "count of an anchor": "vault_n: &n 1\napps:\n  - name: shop\n    scale: {worker: *n}\n",
    "merged": "vault_b: &b {name: shop}\napps:\n  - <<: *b\n    domains: [a]\n",
    "twice": "apps:\n  - name: shop\n  - name: shop\n",
    "shared entry": "vault_e: &e {name: shop}\napps:\n  - *e\n",
    "encrypted": "$ANSIBLE_VAULT;1.1;AES256\n61626364\n",
    "no YAML": "apps: [\n",
}


@pytest.mark.parametrize("name", EDITS)
def test_one_value_changes_and_every_other_byte_stays(name: str) -> None:
    before, counts, after = EDITS[name]
    assert inventory_edit.with_scale(HEAD + before + KEPT, "shop", counts) == HEAD + after + KEPT


@pytest.mark.parametrize("name", NOT_PLAIN)
def test_an_entry_that_is_not_plain_is_left_alone(name: str) -> None:
    with pytest.raises(inventory_edit.NotPlainError):
        inventory_edit.with_scale(NOT_PLAIN[name], "shop", {"worker": 2})


@pytest.mark.parametrize("had", [None, {}, {"worker": 2, "é": 1}])
def test_the_server_writes_the_settings_as_ansible_does(had: dict[str, int] | None) -> None:
    entry: dict[str, Any] = {"name": "shop", "build": "echo 'ü' <&> \"x\"", "web": None, "hooks": {}, "n": [1, {}]}
    wanted = {"worker": 4, "a": 1}
    before = to_nice_json(entry | {"scale": had}) + "\n"
    assert server_scale.with_scale(before, wanted) == to_nice_json(entry | {"scale": wanted}) + "\n"


class Fleet:
    """Two servers, and the inventory that names them."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "main.yml"
        self.file.write_text(HEAD + EDITS["flow"][0] + KEPT)
        self.told: list[tuple[str, dict[str, int] | None]] = []
        self.fails = ""

    def call(self, host: Host, _screen: object, message: dict[str, Any]) -> dict[str, Any]:
        counts = message.get("counts")
        if counts is not None and host.name == self.fails:
            raise messages.not_provisioned(host.name, "gone")
        self.told.append((host.name, counts))
        return {"counts": {"web": 3, "worker": 2, "clock": 1} | (counts or {}), "single": ["clock"]}

    def changes(self) -> list[tuple[str, dict[str, int]]]:
        return [(host, counts) for host, counts in self.told if counts is not None]


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    made = Fleet(tmp_path)
    where, now = f"{made.file}:6", {"worker": 2, "clock": 1}
    app = App("shop", ("a",), "/r", "HEAD", ".", where, HOSTS, scale=now, env=("WEB_CONCURRENCY",))
    monkeypatch.setattr(scale, "call", made.call)
    monkeypatch.setattr(scale.inventory, "load", lambda _: Environment(tmp_path, (app,), HOSTS))
    return made


def test_the_inventory_and_every_server_get_the_same_counts(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    assert scale.scale(["worker=4"], None, None) == Status.DONE
    assert "scale: {worker:  4, clock: 1}  # two will do" in fleet.file.read_text()
    assert fleet.changes() == [("web1", {"worker": 4, "clock": 1}), ("web2", {"worker": 4, "clock": 1})]
    assert "web2  worker   4" in capsys.readouterr().out


def test_without_a_count_nothing_changes_and_the_counts_are_told(
    fleet: Fleet, capsys: pytest.CaptureFixture[str]
) -> None:
    before = fleet.file.read_bytes()
    assert scale.scale([], None, None) == Status.DONE
    assert fleet.file.read_bytes() == before
    assert fleet.changes() == []
    assert "web1  worker   2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["wroker=4"], "the live release has no process wroker; did you mean worker?"),
        (["worker"], "'worker' is not a process and its count; type fab scale worker=N, N from 0 to 100"),
        (["web"], "type fab scale web=N"),
        (["$(id)=x"], "type fab scale worker=N"),
        (["worker=-1"], "is not a process and its count"),
        (["worker=101"], "is not a process and its count"),
        (["web=0"], "an app cannot do without web; fab maintenance on"),
        (["clock=2"], "clock may never run twice at a time, so not 2; leave clock out of `single`"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_changes(
    fleet: Fleet, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = fleet.file.read_bytes()
    assert scale.scale(words, None, None) == Status.USAGE
    assert said in capsys.readouterr().err
    assert fleet.file.read_bytes() == before
    assert fleet.changes() == []


def test_an_inventory_that_is_not_plain_is_told_what_to_write(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    fleet.file.write_text(NOT_PLAIN["template"])
    assert scale.scale(["worker=4"], None, None) == Status.USAGE
    said = capsys.readouterr().err
    assert "main.yml:6: the app's entry is not written here as plain YAML" in said
    assert "write `scale: {worker: 4}` into the app's entry there" in said
    assert fleet.changes() == []


def test_what_no_server_took_is_not_left_in_the_inventory(fleet: Fleet) -> None:
    before, fleet.fails = fleet.file.read_bytes(), "web1"
    assert scale.scale(["worker=4"], None, None) == Status.FAILED
    assert fleet.file.read_bytes() == before
    fleet.fails = "web2"
    assert scale.scale(["worker=4"], None, None) == Status.FAILED
    assert "worker:  4" in fleet.file.read_text(), "one server has it: the next run brings the other"


def test_a_count_of_web_that_the_settings_overrule_is_noted(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    assert scale.scale(["web=5"], None, None) == Status.DONE
    assert "`env` sets WEB_CONCURRENCY" in capsys.readouterr().err
    assert json.loads(json.dumps(fleet.changes()[0][1])) == {"worker": 2, "clock": 1, "web": 5}
