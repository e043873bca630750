"""The app's PostgreSQL database: where it is, and psql, pg_dump and pg_restore on it.

A password is in the environment of these programs, which only root and their own user can read; never in an argument.
"""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import parse_qsl, unquote, urlsplit

from windlass import messages
from windlass.server import environment, runner
from windlass.server.capture import Answer, Question, ask
from windlass.server.database import owner
from windlass.server.environment import Context

SOCKETS = "/var/run/postgresql"
SUPERUSER = "postgres"
CONNECT = "5"
QUERY_LIMIT = 20.0
PROGRAMS = Path("/usr/lib/postgresql")
# What a name means in a database its owner decides, but not for the superuser. What a client asks for outranks the
# settings of a database.
BUILT_IN_NAMES = "-c search_path=pg_catalog"
PSQL = ("--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--no-password", "--set=ON_ERROR_STOP=1")
SCHEMES = ("postgres", "postgresql")
# What libpq takes from a URL's query, and the variable that says the same.
VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "options": "PGOPTIONS",
}


@dataclass(frozen=True)
class Database:
    """One database, and who asks: the app, the owner of its schema, or the superuser where the server is here."""

    name: str
    user: runner.User
    env: Mapping[str, str]
    superuser: bool = False

    def sql(self, text: str, limit: float | None = QUERY_LIMIT, **values: str) -> list[list[str]]:
        """Run SQL and return its rows; `values` are psql's variables, which it quotes; `Failure` when it is refused."""
        given = [f"--set={name}={value}" for name, value in values.items()]
        answer = self.program([_psql(), *PSQL, *given, "--field-separator=\t"], text=text, limit=limit)
        if answer.status:
            raise messages.database_refused(answer.last_error)
        return [line.split("\t") for line in answer.output.splitlines() if line]

    def program(
        self,
        arguments: Sequence[str],
        *,
        text: str = "",
        stdin: IO[bytes] | None = None,
        stdout: IO[bytes] | None = None,
        limit: float | None = QUERY_LIMIT,
    ) -> Answer:
        """Run one of PostgreSQL's programs on this database."""
        return ask(Question(list(arguments), self.user, self.env, text=text, stdin=stdin, stdout=stdout), limit)

    def other(self, name: str) -> Database:
        """Return another database of the same server, asked by the same user."""
        return Database(name, self.user, {**self.env, "PGDATABASE": name}, self.superuser)


def _psql() -> str:
    """Return the newest psql itself: the one on the path of Debian is a script that looks for it, and takes longer."""
    found = {int(path.parts[-3]): path for path in PROGRAMS.glob("[0-9]*/bin/psql") if path.parts[-3].isdigit()}
    return str(found[max(found)]) if found else "psql"


def of_app(context: Context) -> Database | None:
    """Return the database as the app reaches it; nothing when it has none, or none that DATABASE_URL names."""
    user = runner.user(context.settings.app_user)
    return _named(environment.app_values(context.paths).get("DATABASE_URL", ""), user)


def of_owner(context: Context) -> Database | None:
    """Return the database as the owner of its schema reaches it."""
    return _named(owner.url(context), owner.user(context))


def _named(url: str, user: runner.User) -> Database | None:
    if urlsplit(url).scheme.partition("+")[0] not in SCHEMES or not shutil.which("psql"):
        return None
    try:
        found = variables(url)
    except ValueError:
        return None
    found = {"PGUSER": user.name, **found}
    found.setdefault("PGDATABASE", found["PGUSER"])
    env = {**_base(user), **found}
    return Database(env["PGDATABASE"], user, env)


def _base(user: runner.User) -> dict[str, str]:
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": user.home,
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "PGHOST": SOCKETS,
        "PGCONNECT_TIMEOUT": CONNECT,
        "PGAPPNAME": "windlass",
    }


def variables(url: str) -> dict[str, str]:
    """Return libpq's variables for a URL, also of the form that names a driver; ValueError for what is none."""
    parts = urlsplit(url)
    found = {
        "PGHOST": unquote(parts.hostname or ""),
        "PGPORT": str(parts.port or ""),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": unquote(parts.path.lstrip("/")),
    }
    found |= {VARIABLES[key]: value for key, value in parse_qsl(parts.query) if key in VARIABLES}
    return {key: value for key, value in found.items() if value}


def as_superuser(database: Database) -> Database:
    """Return the same database asked by the superuser where its socket is on this machine, else as it was.

    Behind an address, even this machine's own, may be the tunnel to another server.
    """
    try:
        user = runner.user(SUPERUSER)
    except KeyError:
        return database
    if not database.env["PGHOST"].startswith("/") or os.geteuid() not in (0, pwd.getpwnam(SUPERUSER).pw_uid):
        return database
    env = {**_base(user), "PGHOST": database.env["PGHOST"], "PGUSER": SUPERUSER, "PGDATABASE": database.name}
    env["PGOPTIONS"] = BUILT_IN_NAMES
    env |= {key: database.env[key] for key in ("PGPORT",) if key in database.env}
    return Database(database.name, user, env, superuser=True)
