"""A project with hashes gets what they say, all of it: nothing put in a package's place, and nothing beside."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from conftest import Server, app_files

LOCK = Path(__file__).resolve().parents[2] / "examples" / "guestbook" / "uv.lock"
NEEDED = ("gunicorn", "packaging")


def requirement(name: str) -> str:
    """Return a package as `pip-compile --generate-hashes` writes it, with the hashes of the guestbook's lock."""
    package = next(item for item in tomllib.loads(LOCK.read_text())["package"] if item["name"] == name)
    hashes = " ".join(f"--hash={wheel['hash']}" for wheel in package["wheels"])
    return f"{name}=={package['version']} {hashes}\n"


def test_a_release_with_hashes_is_built(server: Server) -> None:
    files = app_files("hashed", requirements__txt="".join(map(requirement, NEEDED)))
    assert server.deploy(files).ok


WRONG = {
    "a hash of something else": re.sub("sha256:....", "sha256:0000", "".join(map(requirement, NEEDED))),
    "a package without a hash": requirement("gunicorn") + requirement("packaging").split()[0] + "\n",
    "a package that is not listed": requirement("gunicorn") + requirement("flask"),
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG.keys())
def test_what_the_hashes_do_not_cover_is_not_installed(live: Server, text: str) -> None:
    before = live.ask("status").data["release"]
    reply = live.deploy(app_files("two", requirements__txt=text))
    assert reply.error["code"] == "build-failed"
    assert "hash" in (reply.error["message"] + reply.output()).lower(), reply.error
    assert live.ask("status").data["release"] == before


def test_hashes_in_an_included_file_count_too(live: Server) -> None:
    files = {"more.txt": requirement("gunicorn"), "requirements.txt": "-r more.txt\npackaging\n"}
    reply = live.deploy(app_files("two") | files)
    assert reply.error["code"] == "build-failed"
