"""What is promised of every fault: it is told in one plain line, nobody noticed, and the next deploy simply works."""

from __future__ import annotations

import itertools
import json
import subprocess
from dataclasses import dataclass
from typing import Any

from tests.support.fab import Fab, Outcome
from tests.support.repository import Repository
from tests.support.server import Server, wait_for
from tests.support.visitor import Visitor

APP = "guestbook"
NUMBERS = itertools.count(1)
SETTLED_SECONDS = 90
# The release program, the part of it that goes on without its client too.
KILL_PROGRAM = "pkill --signal KILL --full '^/usr/bin/python3 .*/usr/local/sbin/windlass *$' || true"


@dataclass(frozen=True)
class Site:
    """One server with the guestbook on it: who releases it, who visits it, and who has a root shell on it."""

    fab: Fab
    repository: Repository
    visitor: Visitor
    server: Server

    def deploy(self, *arguments: str) -> Outcome:
        """Release what the branch holds."""
        return self.fab("deploy", "--app", APP, *arguments)

    def begin(self, verb: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a verb and go on."""
        return self.fab.begin(verb, "--app", APP, *arguments)

    def new_version(self) -> str:
        """Commit a version that nobody has seen, and return what it calls itself."""
        version = f"9.{next(NUMBERS)}.0"
        self.repository.set_version(version)
        return version

    def break_with(self, name: str, text: str) -> None:
        """Commit a file that does no good."""
        self.repository.write(name, text)
        self.repository.commit("Broken")

    # What is there.

    def live(self) -> dict[str, Any]:
        """Return what a visitor is told: version, release, pid."""
        return dict(self.visitor.ask("/version").json)

    def status(self) -> dict[str, Any]:
        """Return what `fab status` says."""
        return dict(self.fab.json("status", "--app", APP))

    def releases(self) -> dict[str, str]:
        """Return the status of each release, newest first, as `fab releases` says it."""
        return {row["release"]: row["status"] for row in self.fab.json("releases", "--app", APP)}

    def folders(self) -> set[str]:
        """Return the names of the releases that are on the disk."""
        return set(self.server.run(f"ls -A /srv/{APP}/releases").split())

    def lock_note(self) -> dict[str, Any]:
        """Return what the lock says of its holder; nothing when it is free."""
        return dict(json.loads(self.server.run(f"cat /var/lib/windlass/{APP}/lock 2>/dev/null || true") or "{}"))

    def wait_for_phase(self, *phases: str, seconds: float = 60) -> None:
        """Wait until a deploy is in one of these phases."""
        wait_for(lambda: self.lock_note().get("phase") in phases, seconds, f"phase {phases}", pause=0.05)

    @staticmethod
    def in_phase(*phases: str) -> str:
        """Return the shell's question whether a deploy is in one of these phases, for `Server.struck`."""
        words = "\\|".join(phases)
        return f'grep -qs \'"phase": "\\({words}\\)"\' /var/lib/windlass/{APP}/lock'

    def wait_until_settled(self) -> None:
        """Wait until no deploy is under way any more."""
        wait_for(lambda: not self.status()["deploy"], SETTLED_SECONDS, "the deploy under way has ended")

    # What is promised.

    def assert_harmless(self, outcome: Outcome, before: dict[str, Any], *words: str, status: int = 1) -> None:
        """Check a failure that no visitor may notice: exit status, its line, the old release, the next deploy."""
        assert_told(outcome, *words, status=status)
        self.assert_serves(before)
        self.assert_the_next_deploy_succeeds()

    def assert_serves(self, before: dict[str, Any]) -> None:
        """Check that visitors and processes have the release that they had."""
        assert self.live()["release"] == before["release"]
        self.assert_entire(before["release"])

    def assert_entire(self, release: str) -> None:
        """Check that everything there is belongs to one release, and that its processes run."""
        wait_for(lambda: self._is_entire(release), 30, f"all processes are of {release}")
        assert self.server.run(f"readlink /srv/{APP}/current") == f"releases/{release}"

    def _is_entire(self, release: str) -> bool:
        processes = self.status()["processes"]
        live = [row for row in processes if row["release"] == release and row["state"] == "RUNNING"]
        kinds = {row["name"].partition("-")[0] for row in live}
        return kinds >= {"web", "worker"} and all(row["state"] not in ("FATAL", "BACKOFF") for row in processes)

    def assert_the_next_deploy_succeeds(self) -> None:
        """Deploy a version with nothing wrong in it, with no repair by hand."""
        self.repository.git("reset", "--quiet", "--hard", "works")
        version = self.new_version()
        outcome = self.deploy()
        assert outcome.status == 0, outcome.everything
        assert self.live()["version"] == version
        self.assert_entire(self.live()["release"])
        assert self.folders() <= set(self.releases()), "something half-made was left in releases/"
        assert not self.server.run(f"ls -A /var/lib/windlass/{APP}/incoming")
        self.repository.git("reset", "--quiet", "--hard", "works")


def assert_told(outcome: Outcome, *words: str, status: int = 1) -> None:
    """Check that a failure is told by the exit status, and in one plain line that names it and says what to do."""
    assert outcome.status == status, outcome.everything
    lines = [line for line in outcome.errors.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, outcome.everything
    assert "; " in lines[0], f"it does not say what to do: {lines[0]}"
    for word in words:
        assert word in lines[0], outcome.everything
    # The app's own words are shown indented.
    assert not any(line.startswith("Traceback") for line in outcome.errors.splitlines()), outcome.everything
