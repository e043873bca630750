"""Commands of the owner around a release, on this machine: `hooks: laptop:` of the entry."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from windlass import messages
from windlass.inventory import App
from windlass.output import Screen, printable


@dataclass
class Hooks:
    """The hooks of one deploy or rollback; commands run in the inventory's directory."""

    app: App
    inventory: Path
    action: str
    screen: Screen
    version: str = ""
    commit: str = ""
    failed: list[str] = field(default_factory=list)

    def run(self, name: str, *, can_refuse: bool, host: str = "", release: str = "") -> None:
        """Run the hook of that name, if there is one.

        One that fails ends everything where nothing was begun yet, else it is noted and counts at the end.
        """
        command = self.app.hooks.get(name)
        if not command:
            return
        values = self._environment(name, host, release)
        status = self._follow(command, os.environ | values)
        if not status:
            return
        if can_refuse:
            raise messages.laptop_hook_refused(name, status)
        self.failed.append(name)
        self.screen.note(messages.note_hook_failed(name, status))

    def count(self, failed_on_server: list[str]) -> None:
        """Add hooks that failed on a server, after the switch."""
        self.failed += failed_on_server

    def settle(self) -> None:
        """End with an error when a hook failed although the release is live."""
        if self.failed:
            raise messages.hooks_failed(sorted(set(self.failed)))

    def _environment(self, name: str, host: str, release: str) -> dict[str, str]:
        return {
            "WINDLASS_APP": self.app.name,
            "WINDLASS_ENV": self.inventory.name,
            "WINDLASS_REPOSITORY": self.app.repository,
            "WINDLASS_HOST": host,
            "WINDLASS_RELEASE": release,
            "WINDLASS_VERSION": self.version,
            "WINDLASS_COMMIT": self.commit,
            "WINDLASS_ACTION": self.action,
            "WINDLASS_PHASE": name.partition("-")[2],
            "WINDLASS_HOOK": name,
        }

    def _follow(self, command: str, values: dict[str, str]) -> int:
        """Run a shell command, without input, and show what it prints; return its exit status."""
        with subprocess.Popen(
            ["/bin/sh", "-c", command],
            cwd=self.inventory,
            env=values,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process:
            for line in process.stdout or ():
                self.screen.line(f"    {printable(line.rstrip())}")
        return process.returncode if process.returncode >= 0 else 128 - process.returncode
