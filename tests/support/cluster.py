"""A PostgreSQL of one's own in a temporary directory, run by an unprivileged user."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from windlass.server.database import ownership

SUPERUSER = "postgres"
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "autovacuum": "off",
    "max_connections": "60",
    "log_min_messages": "fatal",
}


def _program(name: str) -> str:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    path = shutil.which(name) or (str(found[0]) if found else None)
    assert path, f"{name} is missing: script/setup tests installs it"
    return path


@dataclass(frozen=True)
class Cluster:
    """One running server; everybody who reaches its socket may be anybody."""

    folder: Path

    def url(self, name: str, user: str) -> str:
        return f"postgresql:///{name}?host={self.folder}&user={user}"

    def sql(self, text: str, database: str = "postgres", user: str = SUPERUSER) -> list[str]:
        words = ["psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", str(self.folder), "-U", user, "-d", database]
        done = subprocess.run(words, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def popen(self, text: str, database: str, user: str = SUPERUSER) -> subprocess.Popen[bytes]:
        words = ["psql", "-XqAt", "-h", str(self.folder), "-U", user, "-d", database, "-c", text]
        return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def create(self, name: str) -> None:
        """Make a database as the role does: a role of its name reads and writes rows, another owns the schema."""
        self.sql(f'CREATE ROLE "{name}" LOGIN; CREATE ROLE "{name}-owner" LOGIN; GRANT "{name}" TO "{name}-owner"')
        self.sql(f'CREATE DATABASE "{name}" OWNER "{name}-owner"')
        self.sql(ownership.script(name, f"{name}-owner"), name)

    def names(self, start: str) -> list[str]:
        """Return the databases whose names begin so."""
        return [name for name in self.sql("SELECT datname FROM pg_database ORDER BY 1") if name.startswith(start)]

    def drop(self, name: str) -> None:
        for found in self.names(name):
            self.sql(f'DROP DATABASE "{found}" WITH (FORCE)')
        self.sql(f'DROP ROLE IF EXISTS "{name}-owner", "{name}"')


@contextmanager
def cluster() -> Iterator[Cluster]:
    """Start a server, and end it."""
    folder = Path(tempfile.mkdtemp(prefix="wl-pg-"))
    folder.chmod(0o755)
    user = _unprivileged()
    as_user: dict[str, object] = {"cwd": "/"}
    if user:
        os.chown(folder, user.pw_uid, user.pw_gid)
        as_user |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    data = str(folder / "data")
    options = " ".join(f"-c {key}={value}" for key, value in SETTINGS.items() if value)
    options += f" -c listen_addresses='' -k {folder}"
    initdb = [_program("initdb"), "-D", data, "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
    start = [_program("pg_ctl"), "-D", data, "-o", options, "-l", str(folder / "log"), "-w", "start"]
    for words in (initdb, start):
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **as_user)  # type: ignore[call-overload]
        assert done.returncode == 0, done.stdout.decode()
    try:
        yield Cluster(folder)
    finally:
        stop = [_program("pg_ctl"), "-D", data, "-m", "immediate", "-w", "stop"]
        subprocess.run(stop, stdout=subprocess.DEVNULL, check=False, **as_user)  # type: ignore[call-overload]
        shutil.rmtree(folder, ignore_errors=True)


def _unprivileged() -> pwd.struct_passwd | None:
    """Return who runs the server where we are root, whom PostgreSQL refuses."""
    if os.geteuid() != 0:
        return None
    for name in (SUPERUSER, "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise AssertionError("no user to run PostgreSQL")
