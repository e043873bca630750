"""A server that is not as it should be when it is met: no Python, no sudo, apt's lock taken, dpkg interrupted.

They are tried on the stranger's machine, which is a Debian as its provider handed it over.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from testinfra.host import Host

from tests.support.repository import ROOT

HOLD = """
import fcntl, time
held = [open(name, "w") for name in ("/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock")]
for file in held:
    fcntl.lockf(file, fcntl.LOCK_EX)
open("/run/held", "w").close()
time.sleep(90)
"""
BROKEN = """
    set -e
    mkdir -p /var/tmp/broken/DEBIAN
    cd /var/tmp/broken/DEBIAN
    printf '%s\\n' 'Package: broken' 'Version: 1' 'Architecture: all' > control
    printf '%s\\n' 'Maintainer: Nobody <nobody@windlass.test>' 'Description: cannot be configured' >> control
    printf '%s\\n' '#!/bin/sh' 'exit 1' > postinst
    chmod 0755 postinst
    dpkg-deb --build /var/tmp/broken /var/tmp/broken.deb
    dpkg --unpack /var/tmp/broken.deb
"""


@pytest.fixture
def play(tmp_path: Path) -> Path:
    """Return a playbook that finds the way into a server, and asks it something in Python."""
    path = tmp_path / "play.yml"
    path.write_text(
        "- hosts: all\n  gather_facts: false\n  roles: [bootstrap]\n  tasks: [{name: Ask, ansible.builtin.ping: }]\n"
    )
    return path


def reach(apart: Path, play: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the playbook on the stranger's machine."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    settings |= {"NO_COLOR": "1", "ANSIBLE_ROLES_PATH": str(ROOT / "roles")}
    command = [str(ROOT / ".venv/bin/ansible-playbook"), "-i", str(apart), str(play), *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=settings, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )


def one_line(done: subprocess.CompletedProcess[str], *texts: str) -> None:
    """Check that a run failed before any change, with one line that holds all of these."""
    assert done.returncode != 0, done.stdout
    said = [line for line in done.stdout.splitlines() + done.stderr.splitlines() if texts[0] in line]
    assert said and all(text in said[0] for text in texts), done.stdout + done.stderr
    assert "changed=0" in done.stdout


def test_row_35_python_and_sudo_are_put_on_a_server_without_them(scanner: Host, apart: Path, play: Path):
    scanner.check_output(
        "SUDO_FORCE_REMOVE=yes DEBIAN_FRONTEND=noninteractive apt-get -q -y purge python3-minimal sudo"
    )
    assert scanner.run("command -v python3 || command -v sudo").rc != 0
    done = reach(apart, play)
    assert done.returncode == 0, done.stdout + done.stderr
    scanner.check_output("command -v python3 && command -v sudo")


@pytest.fixture
def plain(scanner: Host) -> Iterator[str]:
    """Return a user with the owner's key and no rights."""
    scanner.check_output(
        "useradd --create-home --shell /bin/bash plain && cp -r ~root/.ssh ~plain/ && chown -R plain: ~plain"
    )
    yield "plain"
    scanner.check_output("userdel --remove plain 2>/dev/null; apt-get -q -y install sudo")


def test_row_35_one_line_says_that_sudo_is_missing(scanner: Host, apart: Path, play: Path, plain: str):
    users = ["-e", f"ansible_user={plain}", "-e", f'{{"bootstrap_users": ["{plain}"]}}']
    one_line(reach(apart, play, *users), "plain (sudo asks for a password)", "bootstrap_users")
    scanner.check_output("SUDO_FORCE_REMOVE=yes DEBIAN_FRONTEND=noninteractive apt-get -q -y purge sudo")
    one_line(reach(apart, play, *users), "plain (there is no sudo)", "bootstrap_users")


def test_row_36_apts_lock_is_waited_for(scanner: Host, apart: Path, play: Path):
    scanner.check_output("SUDO_FORCE_REMOVE=yes DEBIAN_FRONTEND=noninteractive apt-get -q -y purge sudo")
    scanner.check_output("rm -f /run/held; systemd-run --quiet --collect --unit=hold python3 -c %s", HOLD)
    scanner.check_output("for n in $(seq 50); do test -e /run/held && exit 0; sleep 0.2; done; exit 1")
    assert "Could not get lock" in scanner.run("apt-get -q -y install sudo").stderr
    done = reach(apart, play)
    assert done.returncode == 0, done.stdout + done.stderr
    assert scanner.run("systemctl is-active hold").stdout.strip() != "active", "it did not wait"
    scanner.check_output("command -v sudo")


def test_row_36_what_dpkg_was_doing_is_brought_to_its_end(scanner: Host, apart: Path, play: Path):
    scanner.check_output(
        "cd /var/tmp && apt-get -q download hello && dpkg --unpack hello_*.deb && "
        "dpkg-query --status hello > /var/lib/dpkg/updates/0000"
    )
    assert "dpkg was interrupted" in scanner.run("apt-get -q -y install sudo").stderr
    done = reach(apart, play)
    assert done.returncode == 0, done.stdout + done.stderr
    assert scanner.check_output("dpkg --audit; ls /var/lib/dpkg/updates") == ""
    assert "installed" in scanner.check_output("dpkg-query --show --showformat '${Status}' hello")


def test_row_36_one_line_says_which_package_cannot_be_configured(scanner: Host, apart: Path, play: Path):
    scanner.check_output(BROKEN)
    try:
        one_line(reach(apart, play), "dpkg was interrupted", "broken", "dpkg --configure -a")
    finally:
        scanner.check_output("dpkg --purge --force-all broken")
