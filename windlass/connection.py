"""SSH to a server: known host keys only, no waiting on Nagle, and a link that is noticed when it dies."""

from __future__ import annotations

import logging
import socket
import threading
import time
from pathlib import Path
from typing import Any

import paramiko
from fabric import Config, Connection
from paramiko.pkey import UnknownKeyType

from windlass import messages
from windlass.errors import WindlassError
from windlass.inventory import Host

# What paramiko would log is said in one line of ours.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

COMMAND = "sudo -n /usr/local/sbin/windlass"
CONNECT_TIMEOUT = 15  # seconds, for each of: TCP, the server's greeting, the login
HEARTBEAT = 10  # seconds between two signs of life that are asked for
POLL = 2.0  # seconds between two looks at whether the link still lives
PATIENCE = 50  # seconds without a sign, after which the link is given up: with the poll, less than a minute


class _Refuse(paramiko.MissingHostKeyPolicy):
    """Refuse a server whose key is not recorded."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        """Say whether the key is unknown or another one."""
        known = client.get_host_keys().lookup(hostname)
        if known:
            shown = ", ".join(_fingerprint(entry) for entry in known.values())
            raise messages.host_key_changed(self.host.name, hostname, shown, _fingerprint(key), self.host.known_hosts)
        raise messages.host_key_unknown(self.host.name, hostname, _fingerprint(key), self.host.known_hosts)


def _fingerprint(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.fingerprint}"


class Server(Connection):  # type: ignore[misc]  # fabric has no types
    """A Fabric connection that takes its facts from the inventory, and refuses unknown host keys."""

    def __init__(self, host: Host) -> None:
        keys = {"key_filename": str(host.key_file)} if host.key_file else {}
        limits = {"banner_timeout": CONNECT_TIMEOUT, "auth_timeout": CONNECT_TIMEOUT}
        super().__init__(
            host.address,
            user=host.user,
            port=host.port,
            config=Config(),
            connect_timeout=CONNECT_TIMEOUT,
            connect_kwargs={**keys, **limits},
        )
        self.record = host

    def open(self) -> Any:
        """Connect, or say in one line why not."""
        _check_key(self.record)
        user_file = Path.home() / ".ssh" / "known_hosts"
        for path in (user_file, self.record.known_hosts):  # the inventory's own wins
            if path.is_file():
                self.client.load_host_keys(str(path))
        self.client.set_missing_host_key_policy(_Refuse(self.record))
        address = self.host if self.port == 22 else f"[{self.host}]:{self.port}"
        try:
            result = super().open()
        except paramiko.BadHostKeyException as error:
            known, offered = _fingerprint(error.expected_key), _fingerprint(error.key)
            raise messages.host_key_changed(
                self.record.name, address, known, offered, self.record.known_hosts
            ) from error
        except paramiko.AuthenticationException as error:
            if isinstance(error, paramiko.PasswordRequiredException):
                raise messages.key_locked(self.record.key_file) from error
            raise messages.key_refused(self.record.name, self.user, self.record.key_file) from error
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise messages.unreached(self.record.name, address, _reason(error)) from error
        self.transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return result


def _check_key(host: Host) -> None:
    """Find out early whether the private key is there and can be read."""
    if host.key_file is None:
        return
    if not host.key_file.is_file():
        raise messages.key_unreadable(host.key_file, "no such file")
    try:
        paramiko.PKey.from_path(host.key_file)
    except (paramiko.PasswordRequiredException, TypeError):
        return  # it has a passphrase, and the agent may hold it
    except (OSError, ValueError, paramiko.SSHException, UnknownKeyType) as error:
        raise messages.key_unreadable(host.key_file, _reason(error)) from error


def _reason(error: BaseException) -> str:
    """Return why a connection failed, in a few words."""
    if isinstance(error, paramiko.ssh_exception.NoValidConnectionsError):
        error = next(iter(error.errors.values()))
    if isinstance(error, TimeoutError):
        return f"no answer within {CONNECT_TIMEOUT} s"
    if isinstance(error, socket.gaierror):
        return "its name is not found in DNS"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


class Link:
    """A running release program: bytes to its stdin, bytes from its stdout."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.server = Server(host)
        self.server.open()
        transport = self.server.transport
        self._heart = _Heart(transport)
        try:
            self.channel = transport.open_session(timeout=CONNECT_TIMEOUT)
            self.channel.settimeout(POLL)
            self.channel.exec_command(COMMAND)
        except paramiko.SSHException as error:
            raise messages.unreached(host.name, self.server.host, _reason(error)) from error

    def send(self, data: bytes | memoryview) -> int:
        """Send some of the data and return how much; wait as long as the link lives."""
        while True:
            try:
                return int(self.channel.send(bytes(data)))
            except TimeoutError:
                self._alive()

    def receive(self) -> bytes:
        """Return what has come, or nothing at the end."""
        while True:
            try:
                return bytes(self.channel.recv(1 << 16))
            except TimeoutError:
                self._alive()

    def complaint(self) -> str:
        """Return what came on stderr, at the end."""
        data = b""
        while self.channel.recv_stderr_ready():
            data += self.channel.recv_stderr(1 << 16)
        return data.decode(errors="replace").strip()

    def close(self) -> None:
        """End the connection. What goes on at the server goes on."""
        self._heart.stop()
        self.server.close()

    def _alive(self) -> None:
        if self._heart.silence() > PATIENCE:
            raise LinkGoneError
        if not self.server.transport.is_active():
            raise ConnectionError


class LinkGoneError(WindlassError):
    """Nothing has come from the server for PATIENCE seconds."""

    def __init__(self) -> None:
        super().__init__("the link is gone")


class _Heart(threading.Thread):
    """Asks the server for a sign of life again and again, and remembers when the last one came."""

    def __init__(self, transport: paramiko.Transport) -> None:
        super().__init__(daemon=True, name="heartbeat")
        self._transport = transport
        self._last = time.monotonic()
        self._stopped = threading.Event()
        self.start()

    def run(self) -> None:
        """Ask until stopped. A server answers a request that it does not know, too."""
        while not self._stopped.wait(HEARTBEAT) and self._transport.is_active():
            try:
                self._transport.global_request("keepalive@openssh.com", wait=True)
            except (OSError, EOFError, paramiko.SSHException):
                return
            self._last = time.monotonic()

    def silence(self) -> float:
        """Return the seconds since the last sign of life."""
        return time.monotonic() - self._last

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
