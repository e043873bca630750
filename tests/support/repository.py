"""A git repository with versions of the guestbook, as its developers would have it."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "examples" / "guestbook"


@dataclass(frozen=True)
class Repository:
    """A git repository in a folder of its own."""

    path: Path

    @classmethod
    def of_guestbook(cls, path: Path) -> Repository:
        """Make it anew from examples/guestbook, with one commit."""
        shutil.rmtree(path, ignore_errors=True)
        ignored = shutil.ignore_patterns(".venv", "__pycache__", ".pytest_cache", "instance", ".ruff_cache")
        shutil.copytree(SOURCE, path, ignore=ignored)
        repository = cls(path)
        repository.git("init", "--quiet", "--initial-branch=main")
        repository.commit("The guestbook")
        return repository

    def git(self, *arguments: str) -> str:
        """Run git in the repository and return what it printed."""
        identity = ["-c", "user.name=Developer", "-c", "user.email=developer@windlass.test"]
        result = subprocess.run(
            ["git", *identity, *arguments], cwd=self.path, check=True, capture_output=True, text=True
        )
        return result.stdout.strip()

    def commit(self, subject: str) -> str:
        """Commit all that changed and return the commit's hash."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", subject)
        return self.git("rev-parse", "HEAD")

    def write(self, name: str, text: str) -> None:
        """Write a file."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def set_version(self, version: str) -> str:
        """Commit a version of the guestbook that says it is `version`."""
        file = self.path / "guestbook" / "version.py"
        text, count = re.subn(r'VERSION = "[^"]*"', f'VERSION = "{version}"', file.read_text())
        if count != 1:
            raise AssertionError(f"{file} does not name its version once")
        file.write_text(text)
        return self.commit(f"Version {version}")

    def branch_from(self, name: str, commit: str) -> None:
        """Start a branch at a commit and go there."""
        self.git("checkout", "--quiet", "-B", name, commit)
