"""The filters of the roles' templates."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path
from types import ModuleType
from typing import Any

import dotenv
import pytest
from ansible.errors import AnsibleFilterError

from windlass.server import envfile

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def filters() -> ModuleType:
    """Return the plugin's module."""
    spec = importlib.util.spec_from_file_location("windlass_filters", ROOT / "plugins/filter/windlass.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


AWKWARD = [
    "",
    " spaces ",
    "it's",
    "back\\slash\\",
    "\\'",
    'double "quotes"',
    "two\nlines\n",
    "# no comment",
    "$HOME `id` $(id)",
    "ünïcödé 🦊",
    "a=b",
    "100% %(x)s %n",
    "\t",
]


@pytest.mark.parametrize("value", AWKWARD)
def test_a_setting_comes_back_the_same_through_python_dotenv(filters: ModuleType, value: str) -> None:
    text = f"BEFORE='1'\nKEY={filters.dotenv(value, 'KEY')}\nAFTER='2'\n"
    read = dotenv.dotenv_values(stream=io.StringIO(text))
    assert read == {"BEFORE": "1", "KEY": value, "AFTER": "2"}


@pytest.mark.parametrize("value", AWKWARD)
def test_a_setting_comes_back_the_same_in_the_release_program(filters: ModuleType, value: str) -> None:
    assert envfile.parse(f"KEY={filters.dotenv(value, 'KEY')}\n") == {"KEY": value}


@pytest.mark.parametrize("value", ["a\0b", "a\rb", True, None, ["list"]])
def test_a_setting_that_would_not_come_back_is_refused_by_name(filters: ModuleType, value: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="KEY") as refusal:
        filters.dotenv(value, "KEY")
    assert "a\0b" not in str(refusal.value)


@pytest.mark.parametrize("name", ["A-B", "1A", "", "A B", "A=B"])
def test_a_name_that_no_environment_takes_is_refused(filters: ModuleType, name: str) -> None:
    with pytest.raises(AnsibleFilterError):
        filters.dotenv("value", name)


def test_the_program_gets_every_default_and_no_secret(filters: ModuleType) -> None:
    options = {"name": {}, "env": {}, "repository": {}, "stop_timeout": {"default": 30}, "wsgi": {}}
    spec = {"argument_specs": {"main": {"options": {"apps": {"options": options}}}}}
    app = {"name": "a", "env": {"SECRET": "x"}, "repository": "https://token@host/a.git"}
    assert filters.app_settings(app, spec, user="a") == {
        "name": "a",
        "stop_timeout": 30,
        "wsgi": None,
        "user": "a",
    }


def test_the_locked_uv_has_hashes(filters: ModuleType) -> None:
    line = filters.locked_requirement((ROOT / "uv.lock").read_text(), "uv")
    name, *hashes = line.split()
    assert name.startswith("uv==")
    assert hashes and all(item.startswith("--hash=sha256:") for item in hashes)


def test_firewall_sources_are_matched_per_ip_version(filters: ModuleType) -> None:
    assert filters.firewall_sources({"port": [1]}) == [""]
    assert filters.firewall_sources({"from": ["192.0.2.0/24", "2001:db8::/32", "192.0.2.1"]}) == [
        "ip saddr { 192.0.2.0/24, 192.0.2.1 } ",
        "ip6 saddr { 2001:db8::/32 } ",
    ]


def test_notices_go_nowhere_unless_the_entry_says_where(filters: Any) -> None:
    assert filters.app_notify({"name": "a"}) == {}
    assert filters.app_notify({"name": "a", "notify": {"mail": [], "webhook": None}}) == {}
    found = filters.app_notify({"name": "a", "notify": {"webhook": "https://x/y"}})
    assert found == {"webhook": "https://x/y", "smtp": ["127.0.0.1", 25]}


def test_the_key_of_a_pipeline_gets_one_command_and_nothing_else(filters: Any) -> None:
    apps = [{"name": "a", "deploy_keys": ["ssh-ed25519 AAAA ci\n"]}, {"name": "b"}]
    assert filters.app_deploy_keys(apps) == [
        'restrict,command="sudo -n /usr/local/sbin/windlass deploy-only a" ssh-ed25519 AAAA ci'
    ]


def test_schedules_run_on_the_first_server_of_their_app_alone(filters: ModuleType) -> None:
    job = {"name": "sweep", "schedule": "0 3 1 * mon", "command": "flask sweep"}
    apps = [{"name": "shop", "cron": [job]}, {"name": "blog", "cron": [job]}, {"name": "wiki"}]
    plan = filters.app_schedules(apps, "you@example.com", ["blog"])
    assert plan["mail"] == ["you@example.com"]
    calendar = ["*-*-01 03:00:00", "Mon *-*-* 03:00:00"]
    assert plan["apps"] == {
        "shop": [{"name": "sweep", "command": "flask sweep", "timeout": 3600, "calendar": calendar}],
    }
    job["schedule"] = "0 99 * * *"
    with pytest.raises(AnsibleFilterError, match="shop: sweep: '99' is no hour"):
        filters.app_schedules(apps, "you@example.com", [])
