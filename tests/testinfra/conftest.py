"""What the tests of servers share. They run from the outside: SSH, HTTPS, SMTP, SQL.

Every scenario's verify step is given this one tree. A scenario runs `test_<its name>.py`; a scenario of several files
runs those that `FILES` names, in that order.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import testinfra
import yaml
from testinfra.host import Host
from visitor import Answer, Ask, by_https, trust

from tests.support import fleet
from tests.support.fab import Fab
from tests.support.faults import Site
from tests.support.repository import Repository
from tests.support.server import Server
from tests.support.visitor import Visitor

SCENARIO = os.environ.get("MOLECULE_SCENARIO_NAME", "default")
FILES = {
    "default": ["test_site.py", "test_release.py", "test_maintenance.py", "test_provisioning.py", "test_recovery.py"],
    "nginx": ["test_nginx.py", "test_nginx_front.py", "test_nginx_pages.py", "test_nginx_releases.py"],
    # Those that look come first, and those that take away the way in last.
    "security": [
        "test_security_host.py",
        "test_security_database.py",
        "test_security_secrets.py",
        "test_security_web.py",
        "test_security_network.py",
        "test_security_access.py",
        "test_security_bootstrap.py",
    ],
    # What takes the server down comes last.
    "faults": [
        "test_faults_fleet.py",
        "test_faults_release.py",
        "test_faults_load.py",
        "test_faults_client.py",
        "test_faults_plan.py",
        "test_faults_hooks.py",
        "test_faults_database.py",
        "test_faults_disk.py",
        "test_faults_server.py",
    ],
}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests that are about this scenario, in the order of its files."""
    files = FILES.get(SCENARIO, [f"test_{SCENARIO}.py"])
    kept = [item for item in items if item.path.name in files and is_of_the_first_server(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = sorted(kept, key=lambda item: files.index(item.path.name))


def is_of_the_first_server(item: pytest.Item) -> bool:
    """Whether a test asks no server, or the first: in the scenario of faults `host` is that one."""
    if SCENARIO != "faults" or not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
        return True
    host = item.callspec.params.get("_testinfra_host")
    return host is None or host.backend.get_pytest_id() == "ansible://one"


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Print a failure when it happens: a run that is cut off has told it."""
    if report.failed:
        print(f"\n{report.nodeid}\n{report.longreprtext}", file=sys.__stderr__, flush=True)


@pytest.fixture(scope="session")
def whole_inventory() -> Path:
    """Return the directory of the inventory that the scenario's machines are in."""
    return Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "inventory"


@pytest.fixture(scope="session")
def inventory(whole_inventory: Path) -> Path:
    """Return the inventory that the tests use: of several app servers, a view of the first."""
    return fleet.view(whole_inventory, "one") if SCENARIO == "faults" else whole_inventory


@pytest.fixture(scope="session")
def address(inventory: Path) -> str:
    """Return the first server's IPv4 address."""
    hosts = yaml.safe_load((inventory / "hosts.yml").read_text())["all"]["hosts"]
    return str(next(iter(hosts.values()))["ansible_host"])


@pytest.fixture(scope="session")
def ask(address: str, inventory: Path) -> Ask:
    """Return what asks an app of the scenario `nginx` by HTTPS, `shop` unless told."""

    def asking(path: str = "/", name: str = "shop.test", **request: object) -> Answer:
        return by_https(address, name, trust(inventory), path, **request)

    return asking


@pytest.fixture(scope="session")
def apart(whole_inventory: Path) -> Path:
    """Return the inventory of the stranger's machine."""
    return whole_inventory.with_name(f"{whole_inventory.name}-apart") / "scanner.yml"


@pytest.fixture(scope="session")
def scanner(apart: Path) -> Host:
    """Return a stranger's machine in the server's network, on which one is root; the scanners are installed there."""
    return testinfra.get_host("ansible://scanner", ansible_inventory=str(apart))


@pytest.fixture(scope="session")
def fab(inventory: Path) -> Fab:
    """Return the verbs, on the scenario's inventory."""
    return Fab(inventory)


@pytest.fixture(scope="session")
def repository(inventory: Path) -> Repository:
    """Return a repository of the guestbook with one version, made anew."""
    return Repository.of_guestbook(inventory / "repositories" / "guestbook")


def apps(inventory: Path) -> list[str]:
    """Return the names of the apps of an inventory."""
    return [app["name"] for app in yaml.safe_load((inventory / "group_vars/all/main.yml").read_text())["apps"]]


@pytest.fixture(scope="session")
def released(fab: Fab, repository: Repository) -> Repository:
    """Release each app once; return their repository."""
    for app in apps(fab.inventory):
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


@pytest.fixture(scope="session")
def server(inventory: Path) -> Server:
    """Return a root shell on the first server."""
    return next(iter(Server.all_of(inventory).values()))


@pytest.fixture
def site(fab: Fab, released: Repository, guestbook: Visitor, server: Server) -> Iterator[Site]:
    """Return the guestbook's site, for a test that does it harm; its repository is put back afterwards."""
    released.git("tag", "--force", "works")
    found = Site(fab, released, guestbook, server)
    yield found
    released.git("reset", "--quiet", "--hard", "works")
    found.wait_until_settled()
