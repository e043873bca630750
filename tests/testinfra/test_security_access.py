"""Who comes in by SSH and who does not, as a stranger tries it; and that no change closes the door on the owner."""

from __future__ import annotations

from testinfra.host import Host


def test_a_stranger_is_asked_for_a_key_and_nothing_else(scanner: Host, address: str):
    attempt = scanner.run(f"ssh -o StrictHostKeyChecking=no -o ConnectTimeout=10 -o BatchMode=yes admin@{address} true")
    assert attempt.rc == 255
    assert "Permission denied (publickey)" in attempt.stderr, attempt.stderr
