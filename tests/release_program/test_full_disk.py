"""A disk that fills up while a release is made."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator

import pytest
from conftest import Server, app_files

SMALL = "import windlass.server.checks as checks\nchecks.FREE_BYTES = 0\n"


@pytest.fixture
def small(server: Server) -> Iterator[Server]:
    """Return a server whose state has a file system of its own, of 512 kB, that is found large enough at first."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts")
    state = str(server.paths.state)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", state], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {mounted.stderr.decode()}")
    program = server.paths.program.read_text()
    server.paths.program.write_text(program.replace("from windlass.server.main", SMALL + "from windlass.server.main"))
    yield server
    subprocess.run(["umount", state], check=True)


def test_a_disk_that_fills_up_is_told_and_undone(small: Server) -> None:
    first = small.deploy(app_files("one")).data["release"]
    filler = small.paths.state / "filler"
    small.configure(build=f"dd if=/dev/zero of={filler} bs=1k; true")
    reply = small.deploy(app_files("two"))
    assert reply.result["ok"] is False
    assert reply.error["code"] == "disk-full", reply.error
    assert reply.result["switched"] is False
    assert small.get() == (200, "one")
    assert [path.name for path in small.paths.releases.iterdir()] == [first]
    filler.unlink()
    small.configure(build="")
    assert small.deploy(app_files("three")).ok
    assert small.get() == (200, "three")
    small.settle()
    assert set(small.states()) == {"demo-web-green", "demo-worker"}
