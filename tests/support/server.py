"""A test server, as its administrator reaches it: one login for each command, so that none is kept over a reboot."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

BOOT_SECONDS = 120


def wait_for(true: Callable[[], object], seconds: float, what: str, pause: float = 0.2) -> None:
    """Wait until something is true; a connection that fails is not yet an answer."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            if true():
                return
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(pause)


@dataclass(frozen=True)
class Server:
    """One server of an inventory."""

    name: str
    address: str
    inventory: Path

    @classmethod
    def all_of(cls, inventory: Path) -> dict[str, Server]:
        """Return the servers of an inventory by name."""
        hosts = yaml.safe_load((inventory / "hosts.yml").read_text())["all"]["hosts"]
        return {name: cls(name, str(facts["ansible_host"]), inventory) for name, facts in hosts.items()}

    def _command(self, script: str) -> list[str]:
        options = {
            "UserKnownHostsFile": f"{self.inventory}/known_hosts",
            "ControlPath": "none",
            "ConnectTimeout": "5",
            "BatchMode": "yes",
            "LogLevel": "ERROR",
        }
        ssh = ["ssh", "-i", f"{self.inventory}/keys/owner", *(f"-o{key}={value}" for key, value in options.items())]
        return [*ssh, f"admin@{self.address}", f"sudo sh -c {shlex.quote(script)}"]

    def try_run(self, script: str, *, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a shell script as root and return how it ended."""
        return subprocess.run(
            self._command(script),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def run(self, script: str, *, seconds: float = 60) -> str:
        """Run a shell script that must succeed as root, and return what it printed."""
        result = self.try_run(script, seconds=seconds)
        assert result.returncode == 0, f"{self.name}: {script}\n{result.stdout}\n{result.stderr}"
        return result.stdout.strip()

    def sql(self, query: str, database: str = "guestbook") -> str:
        """Run a query as the database's superuser, and return the rows, columns parted by `|`."""
        psql = "runuser -u postgres -- psql --no-psqlrc --tuples-only --no-align"
        return self.run(f"cd / && {psql} --dbname {database} --command {shlex.quote(query)}")

    @contextlib.contextmanager
    def altered(self, script: str, undo: str) -> Iterator[None]:
        """Have something be otherwise while the block runs, whatever becomes of it."""
        try:
            self.run(script)
            yield
        finally:
            self.run(undo)

    @contextlib.contextmanager
    def struck(self, when: str, script: str, seconds: float = 60) -> Iterator[None]:
        """Have a shell script run, as root, at the moment when another first succeeds while the block runs.

        The server itself looks out for it, a hundred times a second: a login takes longer than the moment may last.
        """
        wait = (
            f"for _ in $(seq {seconds * 100:.0f}); do if {when}; then echo struck; {script}; exit; fi; sleep 0.01; done"
        )
        with subprocess.Popen(
            self._command(f"echo armed; {wait}"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout and process.stdout.readline() == "armed\n"
            try:
                yield
                output, _ = process.communicate(timeout=seconds)
            finally:
                process.kill()
        assert "struck" in output, f"the moment did not come: {when}"

    def boot_time(self) -> str:
        """Return when the server started; nothing while it does not answer."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.try_run("stat --format %Z /proc/1", seconds=20).stdout.strip()
        return ""

    def reboot(self) -> None:
        """Reboot at once, as an administrator does, and wait until it answers again."""
        before = self.boot_time()
        assert before
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.try_run("systemctl reboot", seconds=20)
        self.wait_for_boot_after(before)

    def wait_for_boot_after(self, before: str) -> None:
        """Wait until the server answers, and has started since the boot that it is given."""
        wait_for(lambda: self.boot_time() not in ("", before), BOOT_SECONDS, f"{self.name} is back from its reboot")
