"""`fab`, run as an owner runs it."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.repository import ROOT


@dataclass(frozen=True)
class Outcome:
    """What a verb printed, and its exit status."""

    status: int
    output: str
    errors: str

    @property
    def everything(self) -> str:
        """Both streams, for a failing test to show."""
        return f"exit status {self.status}\n{self.output}\n{self.errors}"


@dataclass(frozen=True)
class Fab:
    """The verbs of tasks.py, on one inventory."""

    inventory: Path

    def __call__(self, verb: str, *arguments: str, seconds: float = 300) -> Outcome:
        """Run `fab VERB --env INVENTORY ARGUMENTS` from the top of the repository."""
        with self.begin(verb, *arguments) as process:
            return self.end(process, seconds)

    def begin(self, verb: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a verb and go on; it leads a process group, as it does at a terminal."""
        command = [str(ROOT / ".venv" / "bin" / "fab"), verb, "--env", str(self.inventory), *arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @staticmethod
    def end(process: subprocess.Popen[str], seconds: float = 300) -> Outcome:
        """Wait for a verb that was begun, and return how it ended."""
        try:
            output, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return Outcome(process.returncode, output, errors)

    def succeed(self, verb: str, *arguments: str, seconds: float = 300) -> Outcome:
        """Run a verb that must end with exit status 0."""
        outcome = self(verb, *arguments, seconds=seconds)
        assert outcome.status == 0, outcome.everything
        return outcome

    def json(self, verb: str, *arguments: str) -> Any:
        """Run a verb with --json and return what it printed."""
        return json.loads(self.succeed(verb, "--json", *arguments).output)
