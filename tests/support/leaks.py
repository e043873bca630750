"""Where a secret could have got to: the output, every file and the journal of a server, every process, this machine.

A search gives back the places by the secret's name; the secret itself is not shown, not even by a failing test.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.repository import ROOT
from tests.support.server import Server

PAUSE = 0.01  # seconds between two looks at the processes
YOUNG = 0.5
ROUND = 2.0
UNSEARCHED = ("proc", "sys")
LARGEST = 50 * 1024 * 1024


@dataclass
class Canaries:
    """Values that exist nowhere else, by the name of the secret that they stand for."""

    values: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> str:
        """Return the value of a secret, made when it is first asked for."""
        return self.values.setdefault(name, f"cnry{secrets.token_hex(10)}")

    def in_text(self, text: str) -> set[str]:
        """Return the names of those that are in a text."""
        return {name for name, value in self.values.items() if value in text}

    def in_bytes(self, data: bytes) -> set[str]:
        """Return the names of those that are in a file."""
        return {name for name, value in self.values.items() if value.encode() in data}

    def name_of(self, value: str) -> str:
        """Return which secret it is."""
        return next(name for name, known in self.values.items() if known == value)


def documented(app: str) -> dict[str, str]:
    """Return owner, group and mode of each file that may hold a secret, by its path, as docs/secrets.md says."""
    rights = {"root": "root:root 600", "root, the app": f"root:{app} 640"}
    rows = re.findall(r"(?m)^\| [^|]+ \| `(/[^`]+)` \| ([^|]+) \|$", (ROOT / "docs" / "secrets.md").read_text())
    assert len(rows) > 4, "docs/secrets.md has no table of the places of secrets"
    return {path.replace("APP", app): rights[who] for path, who in rows}


def on_server(server: Server, canaries: Canaries) -> dict[str, set[str]]:
    """Search every file of a server, in memory or on disk; return the names by path."""
    searched = f'$(ls -A | grep -vxE "{"|".join(UNSEARCHED)}")'
    found: dict[str, set[str]] = {}
    for line in _ask(server, f"cd / && grep -raoHF -D skip -f /dev/stdin -- {searched}", canaries).splitlines():
        path, _, value = line.rpartition(":")
        found.setdefault(f"/{path}", set()).add(canaries.name_of(value))
    return found


def in_journal(server: Server, canaries: Canaries) -> set[str]:
    """Search the journal, which may be packed on the disk."""
    read = "journalctl --no-pager --all --output=export </dev/null"
    found = _ask(server, f"{{ {read} | grep -aoF -f /dev/fd/3 | sort -u; }} 3<&0", canaries)
    return {canaries.name_of(value) for value in found.split()}


def _ask(server: Server, command: str, canaries: Canaries) -> str:
    """Run a search as root; what is looked for comes in by stdin, for an argument would be a find of its own."""
    options = [
        "-o",
        f"UserKnownHostsFile={server.inventory}/known_hosts",
        "-o",
        "BatchMode=yes",
        "-o",
        "LogLevel=ERROR",
    ]
    ssh = ["ssh", "-i", f"{server.inventory}/keys/owner", "-o", "ControlPath=none", *options, f"admin@{server.address}"]
    needles = "\n".join(canaries.values.values()) + "\n"
    assert needles.strip(), "nothing to look for"
    done = subprocess.run(
        [*ssh, f"sudo sh -c '{command}'"], input=needles, capture_output=True, text=True, errors="replace", check=False
    )
    assert done.returncode in (0, 1, 2), done.stderr  # 2: a file went away meanwhile
    assert "Permission denied" not in done.stderr, done.stderr
    return done.stdout


def places_here() -> list[Path]:
    """Return where Ansible, fab and what they start may leave something on this machine."""
    home = Path.home()
    places = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"), home / ".ansible"]
    places += [home / ".cache" / "ansible-compat", ROOT / ".cache", ROOT / ".ansible", ROOT / "molecule"]
    places += [path for path in home.iterdir() if path.name.endswith("history")]
    return [path for path in dict.fromkeys(places) if path.exists()]


def here(canaries: Canaries, since: float, without: Iterable[Path]) -> dict[str, set[str]]:
    """Search what was written on this machine since a moment; return the names by path."""
    found: dict[str, set[str]] = {}
    skipped = tuple(str(path) for path in without)
    for path in _files(places_here(), skipped):
        try:
            status = path.stat()
            if status.st_mtime < since or status.st_size > LARGEST:
                continue
            names = canaries.in_bytes(path.read_bytes())
        except OSError:
            continue
        if names:
            found[str(path)] = names
    return found


def _files(places: Iterable[Path], skipped: tuple[str, ...]) -> Iterator[Path]:
    for place in places:
        if place.is_file():
            yield place
        for folder, folders, names in os.walk(place):
            folders[:] = [name for name in folders if not f"{folder}/{name}".startswith(skipped)]
            for name in names:
                path = Path(folder, name)
                if path.is_file() and not path.is_symlink():
                    yield path


class Processes:
    """Every command line that was seen while the block ran: those of this machine, and of the servers on it."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Processes:
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop looking."""
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        """Read the young ones again and again: a process is called otherwise once it has started. The rest at times."""
        born: dict[str, float] = {}
        round_at = 0.0
        while not self._ended.is_set():
            now = time.monotonic()
            all_of_them = now - round_at > ROUND
            round_at = now if all_of_them else round_at
            there = [name for name in os.listdir("/proc") if name.isdigit()]  # noqa: PTH208 - as fast as can be
            born = {name: born.get(name, now) for name in there}
            for name, since in born.items():
                if (all_of_them or now - since < YOUNG) and int(name) != os.getpid():
                    self._read(name)
            time.sleep(PAUSE)

    def _read(self, name: str) -> None:
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:  # noqa: PTH123 - as above
                line = file.read()
        except OSError:
            return
        if line:
            self.seen.add(line.replace(b"\0", b" ").decode(errors="replace"))

    def with_canaries(self, canaries: Canaries) -> list[str]:
        """Return the commands that had a secret in an argument, without it."""
        return sorted({f"{line.split()[0]}: {names}" for line in self.seen if (names := canaries.in_text(line))})

    def saw(self, pattern: str) -> bool:
        """Whether a command was seen that matches."""
        return any(re.search(pattern, line) for line in self.seen)
