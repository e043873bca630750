"""What a scanner in the server's own network finds open, on both versions of IP, and whether it relays mail."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

import pytest
from testinfra.host import Host

from tests.support.server import Server

OPEN = {22, 80, 443}
ALL_PORTS = 65535
# Every port that drops is asked again; a rate keeps that to a minute or two.
SCAN = "nmap -n -Pn -sS -p- -T4 --min-rate 3000 --max-retries 2 -oX -"


@pytest.fixture(scope="module")
def addresses(server: Server) -> dict[int, str]:
    """Return the server's global addresses by the version of IP."""
    links = json.loads(server.run("ip -json address show scope global"))
    found = [entry for link in links for entry in link.get("addr_info", []) if entry]
    return {4 if entry["family"] == "inet" else 6: entry["local"] for entry in found}


def nmap(scanner: Host, command: str) -> ElementTree.Element:
    """Run nmap on the scanner, and return its report."""
    return ElementTree.fromstring(scanner.check_output(command))  # noqa: S314 - our own nmap wrote it


@pytest.mark.parametrize("version", [4, 6])
def test_all_tcp_ports_but_those_of_ssh_and_the_web_are_dropped(scanner: Host, addresses: dict[int, str], version: int):
    report = nmap(scanner, f"{SCAN} {'-6' if version == 6 else ''} {addresses[version]}")
    info = report.find("scaninfo")
    assert info is not None and info.get("numservices") == str(ALL_PORTS) and info.get("protocol") == "tcp"
    ports = report.find("host/ports")
    assert ports is not None
    listed = {int(port.get("portid", 0)): port.find("state").get("state") for port in ports.findall("port")}  # type: ignore[union-attr]
    others = {extra.get("state"): int(extra.get("count", 0)) for extra in ports.findall("extraports")}
    assert len(listed) + sum(others.values()) == ALL_PORTS, (listed, others)
    assert {port for port, state in listed.items() if state == "open"} == OPEN, listed
    assert set(others) == {"filtered"}, others
    assert set(listed.values()) <= {"open", "filtered"}, listed


@pytest.fixture
def mail_port_open_in_the_firewall(server: Server) -> Iterator[None]:
    """Take the firewall's help away from Postfix."""
    with server.altered("nft insert rule inet windlass services tcp dport 25 accept", "systemctl reload nftables"):
        yield


@pytest.mark.parametrize("version", [4, 6])
def test_postfix_takes_no_mail_from_strangers_even_without_the_firewall(
    mail_port_open_in_the_firewall: None, scanner: Host, server: Server, addresses: dict[int, str], version: int
):
    assert server.run("ss -Hltn sport = :25"), "Postfix does not run: nothing was tried"
    family = "-6" if version == 6 else ""
    report = nmap(scanner, f"nmap -n -Pn -p 25 --script smtp-open-relay -oX - {family} {addresses[version]}")
    state = report.find("host/ports/port/state")
    assert state is not None
    assert (state.get("state"), state.get("reason")) == ("closed", "reset"), ElementTree.tostring(report)


def test_postfix_relays_for_nobody_who_reaches_it_by_the_servers_own_address(server: Server, addresses: dict[int, str]):
    listening = server.run("ss -Hltn sport = :25 | awk '{print $4}'").split()
    assert listening and all(entry.startswith(("127.0.0.1:", "[::1]:")) for entry in listening), listening
