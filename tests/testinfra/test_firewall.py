"""The firewall, from outside: on both IP versions, what was published answers and nothing else does."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator

import pytest
from testinfra.host import Host

LISTENING = (80, 8080, 8081, 9999)


@pytest.fixture(scope="module")
def addresses(host: Host) -> dict[int, str]:
    """Return the server's global address by IP version."""
    links = json.loads(host.check_output("ip -json address show scope global"))
    found = [entry for link in links for entry in link.get("addr_info", []) if entry]
    return {4 if entry["family"] == "inet" else 6: entry["local"] for entry in found}


@pytest.fixture(scope="module", autouse=True)
def listeners(host: Host) -> Iterator[None]:
    """Have programs listen at the ports in question, so that only the firewall can be why one does not answer."""
    with host.sudo():
        for port in LISTENING:
            host.check_output(f"systemd-run --unit=listen-{port} python3 -m http.server --bind :: {port}")
        host.check_output(
            f"for port in {' '.join(map(str, LISTENING))}; do "
            "until ss -Hltn sport = :$port | grep -q .; do sleep 0.1; done; done"
        )
    yield
    with host.sudo():
        host.run(f"systemctl stop {' '.join(f'listen-{port}' for port in LISTENING)}")


def answers(address: str, port: int) -> bool:
    """Say whether a connection from here is taken within a second."""
    try:
        socket.create_connection((address, port), timeout=1).close()
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("port", [22, 80, 8080])
def test_what_was_published_answers(addresses: dict[int, str], version: int, port: int) -> None:
    assert answers(addresses[version], port)


@pytest.mark.parametrize("version", [4, 6])
def test_what_was_not_published_is_dropped(addresses: dict[int, str], version: int) -> None:
    assert not answers(addresses[version], 9999)


@pytest.mark.parametrize("version", [4, 6])
def test_what_was_published_for_other_networks_is_dropped(addresses: dict[int, str], version: int) -> None:
    assert not answers(addresses[version], 8081)


@pytest.mark.parametrize("version", [4, 6])
def test_a_ping_is_answered(addresses: dict[int, str], version: int) -> None:
    done = subprocess.run(["ping", "-c1", "-W2", addresses[version]], capture_output=True, check=False)
    assert done.returncode == 0, done.stdout


def test_tables_of_other_programs_survive_a_reload(host: Host) -> None:
    with host.sudo():
        host.check_output("nft add table inet owner")
        host.check_output("systemctl reload nftables")
        assert "table inet owner" in host.check_output("nft list tables")
        host.check_output("nft delete table inet owner")


def test_a_reload_does_not_repeat_rules(host: Host) -> None:
    with host.sudo():
        before = host.check_output("nft list table inet windlass | grep -c accept")
        host.check_output("systemctl reload nftables")
        assert host.check_output("nft list table inet windlass | grep -c accept") == before


def test_the_firewall_rises_at_every_start(host: Host) -> None:
    assert host.service("nftables").is_enabled
