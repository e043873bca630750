"""What is there after a reboot. These tests come last: nothing else has to wait for the server."""

from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path

from testinfra.host import Host

from tests.support.visitor import Visitor


def boot_time(inventory: Path, address: str) -> str:
    """Return when the server started, asked by a login of its own: a kept connection would wait for a dead server."""
    known = ["-o", f"UserKnownHostsFile={inventory}/known_hosts", "-o", "ControlPath=none", "-o", "ConnectTimeout=3"]
    command = ["ssh", "-i", f"{inventory}/keys/owner", *known, f"admin@{address}", "stat --format %Z /proc/1"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    return result.stdout.strip()


def test_after_a_reboot_everything_is_up_with_nobodys_help(
    host: Host, inventory: Path, address: str, guestbook: Visitor, visitors: Visitor
):
    message = guestbook.ask("/api/messages", method="POST", data={"author": "Ada", "text": "before the reboot"}).json
    release = guestbook.ask("/version").json["release"]
    before = boot_time(inventory, address)
    assert before
    with host.sudo():
        host.run("systemd-run --on-active=1 systemctl reboot")
    deadline = time.monotonic() + 90
    rebooted = False
    while not rebooted:
        assert time.monotonic() < deadline, "the server did not come back within 90 s"
        time.sleep(1)
        with contextlib.suppress(subprocess.TimeoutExpired):
            rebooted = boot_time(inventory, address) not in ("", before)
    up = False
    while not up:
        assert time.monotonic() < deadline, "the apps did not come back within 90 s"
        time.sleep(0.5)
        with contextlib.suppress(OSError):
            up = guestbook.ask("/healthz").status == 200 and visitors.ask("/healthz").status == 200
    assert guestbook.ask("/version").json["release"] == release
    assert guestbook.ask(f"/api/messages/{message['id']}").json["text"] == "before the reboot"
    later = guestbook.ask("/api/messages", method="POST", data={"author": "Ada", "text": "the worker is up"}).json
    while not guestbook.ask(f"/api/messages/{later['id']}").json["processed_at"]:
        assert time.monotonic() < deadline, "no worker came back"
        time.sleep(0.5)
