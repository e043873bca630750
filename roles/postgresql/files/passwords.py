"""Make what is missing: for each role a password, and the verifier of it that PostgreSQL keeps; print whose was made.

Run as postgres, in a folder that it alone reads. A password passes through no argument, no output and no statement.
"""

import base64
import hashlib
import hmac
import os
import secrets
import sys
from pathlib import Path

ROUNDS = 4096


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


def main(folder: Path, roles: list[str]) -> None:
    """Fill the folder."""
    os.umask(0o077)
    folder.mkdir(exist_ok=True)
    for role in roles:
        file, beside = folder / role, folder / f"{role}.scram"
        if not file.exists():
            file.write_text(f"{secrets.token_hex(32)}\n")
        password = file.read_text().strip()
        if not (beside.exists() and fits(password, beside.read_text().strip())):
            beside.write_text(f"{verifier(password, os.urandom(16))}\n")
            print(role)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
