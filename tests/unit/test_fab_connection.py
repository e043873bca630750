"""SSH against a real sshd on the loopback interface."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from windlass import connection
from windlass.driver import Call, request
from windlass.errors import Status, WindlassError
from windlass.inventory import Host
from windlass.output import Screen

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(SSHD is None, reason="openssh-server is not installed")

# What runs at the server instead of the release program.
PROGRAM = """\
import json, sys, time
request = json.loads(sys.stdin.readline())
if request["action"] == "logs":
    time.sleep(30)
print(json.dumps({"event": "result", "ok": True, "data": {"app": request["app"], "command": sys.argv[1:]}}))
"""


@dataclass
class Sshd:
    """A server of ours."""

    folder: Path
    port: int

    def host(self, **changes: object) -> Host:
        known = self.folder / "known_hosts"
        host = Host("web1", "127.0.0.1", self.port, getpass.getuser(), self.folder / "user", known)
        return replace(host, **changes)  # type: ignore[arg-type]

    def record(self, key: str = "host_ed25519") -> None:
        """Write a host key into known_hosts."""
        public = " ".join((self.folder / f"{key}.pub").read_text().split()[:2])
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {public}\n")

    def fingerprint(self, key: str) -> str:
        shown = subprocess.run(
            ["ssh-keygen", "-lf", str(self.folder / f"{key}.pub")], check=True, capture_output=True, text=True
        )
        return shown.stdout.split()[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def keygen(path: Path, kind: str, passphrase: str = "") -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", str(path)], check=True)


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    assert SSHD
    folder = tmp_path_factory.mktemp("sshd")
    for name in ("host_ed25519", "user", "stranger", "other"):
        keygen(folder / name, "ed25519")
    keygen(folder / "host_rsa", "rsa")
    keygen(folder / "locked", "ed25519", "a passphrase")
    (folder / "authorized_keys").write_text((folder / "user.pub").read_text())
    (folder / "program.py").write_text(PROGRAM)
    port = free_port()
    (folder / "config").write_text(
        f"""\
ListenAddress 127.0.0.1:{port}
HostKey {folder}/host_ed25519
HostKey {folder}/host_rsa
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
PermitRootLogin yes
MaxStartups 100
ForceCommand {sys.executable} {folder}/program.py $SSH_ORIGINAL_COMMAND
"""
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with subprocess.Popen([SSHD, "-D", "-e", "-f", str(folder / "config")], stderr=subprocess.DEVNULL) as server:
        wait_for(port)
        yield Sshd(folder, port)
        server.terminate()


def wait_for(port: int) -> None:
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail("sshd did not start")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the keys and known hosts of whoever runs the tests out of them."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)


def refusal(host: Host) -> str:
    with pytest.raises(WindlassError) as caught:
        connection.Link(host)
    assert caught.value.status == Status.UNREACHED
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


@pytest.mark.parametrize("key", ["host_ed25519", "host_rsa"])
def test_a_recorded_key_lets_us_in_and_the_one_command_is_run(sshd: Sshd, key: str) -> None:
    sshd.record(key)
    data = Call(connection.Link(sshd.host()), "web1", Screen()).run(request("status", "guestbook"))
    assert data == {"app": "guestbook", "command": connection.COMMAND.split()}


def test_nagle_is_off(sshd: Sshd) -> None:
    sshd.record()
    server = connection.Server(sshd.host())
    server.open()
    assert server.transport.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    server.close()


def test_an_unknown_host_key_is_refused_with_its_fingerprint(sshd: Sshd) -> None:
    (sshd.folder / "known_hosts").unlink(missing_ok=True)
    line = refusal(sshd.host())
    assert "is not in" in line
    assert any(sshd.fingerprint(key) in line for key in ("host_ed25519", "host_rsa"))
    assert f"ssh-keyscan -p {sshd.port} 127.0.0.1" in line


def test_a_changed_host_key_is_refused_with_both_fingerprints(sshd: Sshd) -> None:
    sshd.record("other")
    line = refusal(sshd.host())
    assert "CHANGED" in line
    assert sshd.fingerprint("other") in line
    assert sshd.fingerprint("host_ed25519") in line


def test_the_key_of_another_kind_counts_as_changed(sshd: Sshd) -> None:
    keygen(sshd.folder / "ecdsa", "ecdsa")
    sshd.record("ecdsa")
    line = refusal(sshd.host())
    assert "CHANGED" in line
    assert sshd.fingerprint("ecdsa") in line


def test_a_wrong_key_is_one_line(sshd: Sshd) -> None:
    sshd.record()
    stranger = sshd.folder / "stranger"
    assert f"was refused with the key {stranger}" in refusal(sshd.host(key_file=stranger))


def test_a_locked_key_is_one_line(sshd: Sshd) -> None:
    sshd.record()
    assert "ssh-add" in refusal(sshd.host(key_file=sshd.folder / "locked"))


def test_an_absent_or_broken_key_is_one_line(sshd: Sshd, tmp_path: Path) -> None:
    sshd.record()
    assert "no such file" in refusal(sshd.host(key_file=tmp_path / "absent"))
    (tmp_path / "broken").write_text("not a key\n")
    assert "ansible_ssh_private_key_file" in refusal(sshd.host(key_file=tmp_path / "broken"))


def test_a_host_that_is_not_there_is_one_line(sshd: Sshd) -> None:
    sshd.record()
    assert "does not answer: Connection refused" in refusal(sshd.host(port=free_port()))
    assert "its name is not found" in refusal(sshd.host(address="nowhere.invalid"))


def test_a_port_that_speaks_no_ssh_is_one_line(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "CONNECT_TIMEOUT", 1)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        assert "does not answer" in refusal(sshd.host(port=mute.getsockname()[1]))


def test_a_link_that_goes_silent_is_given_up(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cable is pulled: nothing is closed, but nothing comes any more."""
    monkeypatch.setattr(connection, "HEARTBEAT", 0.2)
    monkeypatch.setattr(connection, "PATIENCE", 2)
    monkeypatch.setattr(connection, "POLL", 0.2)
    with Cable(sshd.port) as cable:
        known = sshd.folder / "known_hosts"
        sshd.record()
        known.write_text(known.read_text().replace(str(sshd.port), str(cable.port)))
        call = Call(connection.Link(sshd.host(port=cable.port)), "web1", Screen())
        threading.Timer(1, cable.pull).start()
        started = time.monotonic()
        with pytest.raises(WindlassError, match="no sign of life for 2 s; the link is gone") as caught:
            call.run(request("logs", "guestbook"))
        assert caught.value.status == Status.UNREACHED
        assert time.monotonic() - started < 10


class Cable:
    """A TCP proxy that can stop passing anything on without closing anything."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        self.sockets = [self.listener]
        self.pulled = threading.Event()
        threading.Thread(target=self.accept, daemon=True).start()

    def __enter__(self) -> Cable:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self.sockets:
            each.close()

    def accept(self) -> None:
        near, _ = self.listener.accept()
        far = socket.create_connection(("127.0.0.1", self.target))
        self.sockets += [near, far]
        for one, other in ((near, far), (far, near)):
            threading.Thread(target=self.copy, args=(one, other), daemon=True).start()

    def copy(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(1 << 16):
                if not self.pulled.is_set():
                    other.sendall(data)
        except OSError:
            return

    def pull(self) -> None:
        self.pulled.set()
