"""A server after its first provisioning: who comes in, and what it does by itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml
from testinfra.host import Host

ROOT = Path(__file__).resolve().parents[2]


class Door:
    """The server's SSH, tried with the owner's key on connections of their own."""

    def __init__(self, inventory: Path, address: str) -> None:
        variables = yaml.safe_load((inventory / "hosts.yml").read_text())["all"]["vars"]
        self._options = [
            "-oBatchMode=yes",
            "-oConnectTimeout=10",
            f"-oUserKnownHostsFile={inventory / 'known_hosts'}",
            f"-i{variables['ansible_ssh_private_key_file']}",
        ]
        self._address = address

    def knock(self, user: str, *command: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Come in as a user and run a command."""
        arguments = ["ssh", *options, *self._options, f"{user}@{self._address}", *command]
        return subprocess.run(arguments, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def door(inventory: Path, address: str) -> Door:
    """Return the server's SSH."""
    return Door(inventory, address)


def test_root_is_not_let_in_any_more(door: Door) -> None:
    answer = door.knock("root", "true")
    assert answer.returncode == 255
    assert "Permission denied (publickey)" in answer.stderr, "a password would have been taken"


def test_admin_comes_in_and_has_the_rights_of_root(door: Door) -> None:
    answer = door.knock("admin", "sudo", "-n", "id", "-u")
    assert answer.stdout == "0\n", answer.stderr


def test_deploy_comes_in_and_has_no_rights_of_root(door: Door) -> None:
    assert door.knock("deploy", "id", "-un").stdout == "deploy\n"
    assert door.knock("deploy", "sudo", "-n", "id").returncode != 0


def test_nobody_else_comes_in_even_with_a_key(door: Door, host: Host) -> None:
    with host.sudo():
        host.check_output("id visitor || useradd --create-home --shell /bin/bash visitor")
        host.check_output("cp -r ~admin/.ssh ~visitor/ && chown -R visitor: ~visitor/.ssh")
    try:
        assert "Permission denied" in door.knock("visitor", "true").stderr
    finally:
        with host.sudo():
            host.check_output("userdel --remove visitor 2>/dev/null")


def test_a_password_is_not_asked_for(door: Door) -> None:
    answer = door.knock("admin", "true", options=("-oPubkeyAuthentication=no",))
    assert "Permission denied (publickey)" in answer.stderr


def test_deploy_cannot_pass_through_to_the_servers_own_network(door: Door) -> None:
    assert "administratively prohibited" in door.knock("deploy", options=("-W", "127.0.0.1:22")).stderr


def test_a_changed_host_key_is_refused_in_one_line(inventory: Path, address: str, tmp_path: Path) -> None:
    other = tmp_path / "inventory"
    other.mkdir()
    hosts = (inventory / "hosts.yml").read_text()
    (other / "hosts.yml").write_text(hosts.replace(f"={inventory}/known_hosts", f"={other}/known_hosts"))
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    key = (tmp_path / "key.pub").read_text()
    (other / "known_hosts").write_text(f"{address} {key}")
    play = tmp_path / "play.yml"
    play.write_text("- hosts: all\n  gather_facts: false\n  roles: [bootstrap]\n")
    options = ["--limit", "server", "-e", "ansible_control_path=none"]
    command = ["ansible-playbook", "-i", str(other), str(play), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode != 0
    assert "its host key has CHANGED" in done.stdout + done.stderr
    assert (other / "known_hosts").read_text() == f"{address} {key}"


def test_security_updates_install_themselves(host: Host) -> None:
    with host.sudo():
        assert host.check_output("apt-config shell on APT::Periodic::Unattended-Upgrade") == "on='1'"
        run = host.run("unattended-upgrade --dry-run --debug")
    assert run.rc == 0, run.stderr
    assert "Debian-Security" in run.stdout
    assert host.service("apt-daily-upgrade.timer").is_enabled


def test_the_clock_is_in_the_time_zone_of_the_settings(host: Host) -> None:
    assert host.check_output("date +%Z") == "UTC"
