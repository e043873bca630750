"""The passwords of the roles that come in from another host: made, handed out, and taken away when they were renewed.

    passwords.py FOLDER make|would-make GENERATION ROLE...
    passwords.py FOLDER read
    passwords.py FOLDER retire

Run as postgres, in a folder that it alone reads; each prints what it did or found as JSON. A password passes through no
argument and no statement. Each role has two logins, its own name and NAME.b, which becomes the role as it enters.
They take turns: what was started with the password before works on until it is retired.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

ROUNDS = 4096
TURNS = ("", ".b")
STATE = "turn.json"
PSQL = ["psql", "--no-psqlrc", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--dbname=postgres"]
SESSIONS = """
SELECT DISTINCT format('%s from %s', usename, host(client_addr))
  FROM pg_stat_activity
 WHERE client_addr IS NOT NULL AND usename = ANY (string_to_array(:'logins', ',')) ORDER BY 1;
"""
TAKE_AWAY = """
SELECT format('ALTER ROLE %I PASSWORD NULL', rolname)
  FROM pg_roles
 WHERE rolname = ANY (string_to_array(:'logins', ',')) \\gexec
"""
BUILT_IN_NAMES = "-c search_path=pg_catalog"
# Nothing of these statements is logged: see databases.yml.
QUIET = "-c log_statement=none -c log_min_duration_statement=-1 -c log_min_error_statement=panic"


def verifier(password: str, salt: bytes) -> str:
    """Return what PostgreSQL stores of a password (RFC 5803)."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, ROUNDS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    parts = [base64.b64encode(part).decode() for part in (salt, stored, hmac.digest(salted, b"Server Key", "sha256"))]
    return f"SCRAM-SHA-256${ROUNDS}:{parts[0]}${parts[1]}:{parts[2]}"


def fits(password: str, known: str) -> bool:
    """Say whether a verifier is that of the password."""
    salt = known.partition(":")[2].partition("$")[0]
    return bool(salt) and verifier(password, base64.b64decode(salt)) == known


def state_of(folder: Path) -> dict[str, object]:
    """Return the generation, the ending of its logins, and whether those of the one before still work."""
    try:
        found: dict[str, object] = json.loads((folder / STATE).read_text())
    except FileNotFoundError:
        return {"generation": 1, "ending": TURNS[0], "former": False}
    return found


def store(path: Path, text: str) -> None:
    """Write a file whole or not at all, and have it on the disk."""
    beside = path.with_name(f".{path.name}.new")
    with beside.open("w") as file:
        file.write(f"{text}\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    handle = os.open(path.parent, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def password_of(folder: Path, login: str) -> str:
    """Return a login's password, or nothing; an empty file is none."""
    file = folder / login
    return file.read_text().strip() if file.exists() else ""


def make(folder: Path, generation: int, roles: list[str], really: bool) -> dict[str, object]:
    """Give each role a password for the login whose turn it is; another generation is the other login's turn."""
    state = state_of(folder)
    another = generation != state["generation"]
    turned = another and not state["former"]  # what still works is not made anew: its turn comes when it has gone
    if turned:
        before = str(state["ending"])
        state = {"generation": generation, "ending": other(before), "former": bool(logins_of(folder, before))}
    logins = [f"{role}{state['ending']}" for role in roles]
    wanting = [login for login in logins if not whole(folder, login)]
    if really:
        folder.mkdir(exist_ok=True)
        for login in wanting:
            fill(folder, login)
        if turned:
            store(folder / STATE, json.dumps(state))
    return {
        "made": wanting,
        "ending": state["ending"],
        "changed": bool(wanting or turned),
        "waits": another and not turned,
    }


def whole(folder: Path, login: str) -> bool:
    """Say whether a login has its password and the verifier of it."""
    password, beside = password_of(folder, login), folder / f"{login}.scram"
    return bool(password) and beside.exists() and fits(password, beside.read_text().strip())


def fill(folder: Path, login: str) -> None:
    """Make what a login lacks."""
    if not password_of(folder, login):
        store(folder / login, secrets.token_hex(32))
    store(folder / f"{login}.scram", verifier(password_of(folder, login), os.urandom(16)))


def read(folder: Path) -> dict[str, object]:
    """Return the login and the password of each role that has one now."""
    state = state_of(folder)
    ending = str(state["ending"])
    logins = logins_of(folder, ending)
    found = {login.removesuffix(ending): [login, (folder / login).read_text().strip()] for login in logins}
    return {"former": state["former"], "logins": found}


def retire(folder: Path) -> dict[str, object]:
    """Take the passwords of the generation before away, unless a session came in with one."""
    state = state_of(folder)
    if not state["former"]:
        return {"changed": False, "sessions": []}
    logins = logins_of(folder, other(str(state["ending"])))
    if sessions := ask(SESSIONS, logins):
        return {"changed": False, "sessions": sessions}
    ask(TAKE_AWAY, logins)
    for login in logins:
        (folder / login).unlink(missing_ok=True)
        (folder / f"{login}.scram").unlink()
    store(folder / STATE, json.dumps(state | {"former": False}))
    return {"changed": True, "sessions": []}


def logins_of(folder: Path, ending: str) -> list[str]:
    """Return the logins of a turn that have a password."""
    found = (path.name.removesuffix(".scram") for path in folder.glob("*.scram"))
    return sorted(login for login in found if login.endswith(TURNS[1]) == bool(ending))


def ask(statement: str, logins: list[str]) -> list[str]:
    """Run SQL about some logins as postgres, and return the lines of its answer."""
    command = [*PSQL, f"--set=logins={','.join(logins)}"]
    environment = os.environ | {"PGOPTIONS": f"{BUILT_IN_NAMES} {QUIET}"}
    done = subprocess.run(command, input=statement, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.returncode)
    return done.stdout.splitlines()


def other(ending: str) -> str:
    """Return the ending of the logins whose turn it is not."""
    return TURNS[1 - TURNS.index(ending)]


def main(folder: Path, action: str, arguments: list[str]) -> dict[str, object]:
    """Do what the second argument says."""
    os.umask(0o077)
    if action == "read":
        return read(folder)
    if action == "retire":
        return retire(folder)
    return make(folder, int(arguments[0]), arguments[1:], action == "make")


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])))
