"""Supervisor over its XML-RPC socket."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import time
import xmlrpc.client
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windlass import messages

POLL = 0.02
BAD_NAME, ALREADY_STARTED, NOT_RUNNING, ALREADY_ADDED = 10, 60, 70, 90
CANT_REREAD, SPAWN_ERROR, ABNORMAL = 92, 50, 40
UP = ("STARTING", "RUNNING")
DOWN = ("STOPPED", "EXITED", "FATAL")
KILLED = 10.0


@dataclass(frozen=True)
class Process:
    """One process as Supervisor sees it; times are seconds since the epoch."""

    name: str
    group: str
    state: str
    pid: int
    start: int
    now: int
    error: str

    @property
    def full_name(self) -> str:
        """The name that Supervisor's calls take."""
        return f"{self.group}:{self.name}"


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def make_connection(self, host: object) -> _Connection:
        """Connect to the socket; the address in the URL says nothing."""
        return _Connection(self.path)


class Supervisor:
    """What the release program asks of Supervisor."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def call(self, method: str, *arguments: object, allow: Iterable[int] = ()) -> Any:
        """Call a method; a fault in `allow` gives None, any other raises `Failure`."""
        proxy = xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=_Transport(self.path))
        try:
            return getattr(proxy.supervisor, method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode in allow:
                return None
            unread = fault.faultCode == CANT_REREAD
            raise messages.supervisor_refused(method, fault.faultString, unread) from fault
        except (OSError, http.client.HTTPException) as error:
            raise messages.supervisor_silent(self.path, str(error)) from error

    def processes(self) -> list[Process]:
        """Return every process that Supervisor knows."""
        return [
            Process(
                info["name"],
                info["group"],
                info["statename"],
                info["pid"],
                info["start"],
                info["now"],
                info["spawnerr"],
            )
            for info in self.call("getAllProcessInfo")
        ]

    def group(self, name: str) -> list[Process]:
        """Return the processes of one group, none when it is unknown."""
        return [process for process in self.processes() if process.group == name]

    def start(self, groups: Iterable[str]) -> None:
        """Add groups from their configuration files and start what does not start by itself."""
        self.call("reloadConfig")
        for group in sorted(set(groups)):
            self.add(group)

    def add(self, group: str) -> None:
        """Add and start a group of the configuration that was last reloaded."""
        self.call("addProcessGroup", group, allow=[ALREADY_ADDED])
        for process in self.group(group):
            self.call("startProcess", process.full_name, False, allow=[ALREADY_STARTED, SPAWN_ERROR, ABNORMAL])

    def remove(self, group: str) -> None:
        """Make Supervisor forget a group that is down."""
        self.call("removeProcessGroup", group, allow=[BAD_NAME])

    def stop(self, groups: Iterable[str], limit: float, *, kill_after: float | None = None) -> None:
        """Stop groups together and make Supervisor forget them.

        What has not ended `limit` seconds later, or `kill_after` where nobody is served, is killed.
        """
        wanted = set(groups)
        known = self._of(wanted)
        self.ask_to_stop(known)
        end = time.monotonic() + (limit if kill_after is None else min(limit, kill_after))
        last = end + KILLED
        while running := [item for item in self._of(wanted) if item.state not in DOWN]:
            if time.monotonic() > last:
                raise messages.process_not_stopped(running[0].full_name, running[0].pid)
            if time.monotonic() > end:
                self.kill(running)
            self.ask_to_stop([item for item in running if item.state != "STOPPING"])
            time.sleep(POLL)
        for group in sorted({item.group for item in known}):
            self.remove(group)

    def ask_to_stop(self, processes: list[Process]) -> None:
        """Send each its stop signal, and wait for none."""
        for process in processes:
            self.call("stopProcess", process.full_name, False, allow=[NOT_RUNNING, BAD_NAME])

    def _of(self, groups: set[str]) -> list[Process]:
        return [item for item in self.processes() if item.group in groups] if groups else []

    @staticmethod
    def kill(processes: list[Process]) -> None:
        """Kill processes and all that they started: Supervisor makes each one a process group."""
        for process in processes:
            if process.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
