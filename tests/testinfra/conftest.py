"""What the tests of servers share. They run from the outside: SSH, HTTPS, SMTP, SQL.

Every scenario's verify step is given this one tree. A scenario runs `test_<its name>.py`; the scenario `default`,
which is the whole server, runs the files that `WHOLE_SERVER` names, in that order.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from testinfra.host import Host

from tests.support.fab import Fab
from tests.support.repository import Repository
from tests.support.visitor import Visitor

SCENARIO = os.environ.get("MOLECULE_SCENARIO_NAME", "default")
WHOLE_SERVER = ["test_site.py", "test_release.py", "test_provisioning.py", "test_recovery.py"]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests that are about this scenario, in the order of its files."""
    files = WHOLE_SERVER if SCENARIO == "default" else [f"test_{SCENARIO}.py"]
    kept = [item for item in items if item.path.name in files]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = sorted(kept, key=lambda item: files.index(item.path.name))


@pytest.fixture(scope="session")
def inventory() -> Path:
    """Return the directory of the inventory that the scenario's machines are in."""
    return Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "inventory"


@pytest.fixture(scope="session")
def address(inventory: Path) -> str:
    """Return the first server's IPv4 address."""
    hosts = yaml.safe_load((inventory / "hosts.yml").read_text())["all"]["hosts"]
    return str(next(iter(hosts.values()))["ansible_host"])


@pytest.fixture(scope="session")
def fab(inventory: Path) -> Fab:
    """Return the verbs, on the scenario's inventory."""
    return Fab(inventory)


@pytest.fixture(scope="session")
def repository(inventory: Path) -> Repository:
    """Return a repository of the guestbook with one version, made anew."""
    return Repository.of_guestbook(inventory / "repositories" / "guestbook")


@pytest.fixture(scope="session")
def released(fab: Fab, repository: Repository) -> Repository:
    """Release both apps once; return their repository."""
    for app in ("guestbook", "visitors"):
        fab.succeed("deploy", "--app", app)
    return repository


@pytest.fixture(scope="session")
def guestbook(inventory: Path, address: str, released: Repository) -> Visitor:
    """Return a visitor of the first app."""
    return Visitor("guestbook.test", address, inventory / "ca.pem")


@pytest.fixture(scope="session")
def visitors(inventory: Path, address: str, released: Repository) -> Visitor:
    """Return a visitor of the second app."""
    return Visitor("visitors.test", address, inventory / "ca.pem")


@pytest.fixture
def journal_on_failure(host: Host, request: pytest.FixtureRequest) -> None:
    """Print the end of the server's journal when the test fails."""

    def show() -> None:
        if request.session.testsfailed:
            with host.sudo():
                print(host.run("journalctl --no-pager --lines 60").stdout)

    request.addfinalizer(show)
