"""From an archive to a release: code, packages, settings and shared folders, owned by the build user."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from windlass import messages
from windlass.server import environment, files, names, runner
from windlass.server.building import identity, install
from windlass.server.environment import Context
from windlass.server.errors import Failure
from windlass.server.log import ReleaseLog
from windlass.server.names import KEY_FILE
from windlass.server.processes import procfile
from windlass.server.protocol import Events

NO_ROOM = "No space left on device"
MAGIC = ((b"\x1f\x8b", "--gzip"), (b"\x28\xb5\x2f\xfd", "--zstd"), (b"\xfd7zXZ", "--xz"), (b"BZh", "--bzip2"))
SKIPPED = r"/(\.venv|node_modules|\.git)/"
BASE = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}


@dataclass(frozen=True)
class Builder:
    """One release that is being built; a trial, which is only looked at, makes nothing outside of its folder."""

    context: Context
    release: Path
    log: ReleaseLog
    events: Events
    trial: bool = False

    @property
    def folder(self) -> Path:
        """The app's folder in the release."""
        return self.release / self.context.settings.directory

    def build(self, archive: Path) -> None:
        """Do all of it; `Failure` names the step that went wrong."""
        self._make_folder()
        self._extract(archive)
        settings = self.context.settings
        if not self.folder.is_dir():
            raise messages.folder_not_in_commit(settings.directory)
        processes = procfile.processes_of(settings, self.release)
        with identity.reading_as(settings.builder):
            chosen = install.plan(self.context, self.release, processes)
        self._install(chosen)
        for name in settings.shared:
            self._share(name)
        if settings.build:
            self._run_build(settings.build)
            self._share_again()
        self._link_settings()
        self._compile()

    def _run(self, arguments: Sequence[str], failed: Callable[[str], Failure], env: Mapping[str, str] = BASE) -> None:
        """Run one command as the build user in the app's folder, its output passed on; `failed` makes the message."""
        cwd = self.folder if self.folder.is_dir() else self.release
        user = runner.user(self.context.settings.builder)
        outcome = runner.run(runner.Task(arguments, user, cwd, env, umask=0o027), self.events.output)
        if outcome.status:
            tail = list(outcome.tail)
            failure = failed(_last(tail, outcome.status))
            failure.log = tail
            raise failure

    def _make_folder(self) -> None:
        user = runner.user(self.context.settings.builder)
        self.release.mkdir(mode=0o750)
        shutil.chown(self.release, user.uid, user.gid)
        if not self.context.paths.cache.exists():
            self.context.paths.cache.mkdir(mode=0o750)
            shutil.chown(self.context.paths.cache, user.uid, user.gid)

    def _extract(self, archive: Path) -> None:
        with archive.open("rb", buffering=0) as file:
            head = file.read(6)
            file.seek(0)
            packed = [option for magic, option in MAGIC if head.startswith(magic)]
            command = ["tar", "--extract", "--no-same-owner", *packed, "--file=-"]
            user = runner.user(self.context.settings.builder)
            task = runner.Task(command, user, self.release, BASE, stdin=file, umask=0o027)
            outcome = runner.run(task, self.events.output)
        if outcome.status:
            raise messages.archive_unreadable(_last(list(outcome.tail), 1))

    def _install(self, chosen: install.Plan) -> None:
        env = install.environment(self.context, self.release)
        copied = self._copy_environment(chosen)
        if not copied:
            python = [
                str(self.context.paths.uv),
                "--quiet",
                "venv",
                "--relocatable",
                str(self.release / ".venv"),
            ]
            self._run(python, messages.environment_not_made, env)

        def failed(reason: str) -> Failure:
            return messages.packages_not_installed(reason, chosen.kind, chosen.source)

        for command in install.commands(self.context.paths, chosen, self.release, copied=copied):
            self._run(command, failed, env)
        if added := install.gunicorn_command(self.context.paths, chosen, self.release):
            self._run(added, messages.gunicorn_not_installed, env)
        if not copied:
            writer = ["sh", "-c", f"printf %s {chosen.key} > {KEY_FILE}"]
            user = runner.user(self.context.settings.builder)
            runner.run(runner.Task(writer, user, self.release, BASE, umask=0o027))

    def _copy_environment(self, chosen: install.Plan) -> bool:
        """Take the environment of the newest release that has the same, by hard links."""
        for name in self.log.good():
            other = self.log.paths.releases / name
            if _holds(other / KEY_FILE, chosen.key, self.context.settings.builder):
                user = runner.user(self.context.settings.builder)
                command = ["cp", "--archive", "--link", str(other / ".venv"), str(self.release / ".venv")]
                return runner.run(runner.Task(command, user, self.release, BASE)).status == 0
        return False

    def _link_settings(self) -> None:
        """Link `.env`, after the build: its user may not read the file, and has what is in it as environment."""
        target = shlex.quote(str(self.context.paths.env))
        script = f"[ -e .env ] || [ -L .env ] || ln -s {target} .env"
        self._run(["sh", "-c", script], messages.env_file_not_linked)

    def _share_again(self) -> None:
        """Put back each link that the build removed, as by emptying the folder around it, or led elsewhere."""
        for name in self.context.settings.shared:
            place = self.folder / name
            if not place.is_symlink() and place.exists() and (self.context.paths.shared / name).exists():
                raise messages.shared_replaced(name)
            self._share(name)

    def _share(self, name: str) -> None:
        """Make a folder outlive the release; what the commit ships there is copied once."""
        if not names.is_inside(name):
            raise messages.shared_outside(name)
        target = self.context.paths.shared / name
        if self.trial and not target.exists():
            return
        if not target.exists():
            self._fill(target, self.folder / name)
        arguments = [name, str(target)]
        script = 'mkdir -p -- "$(dirname -- "$1")" && rm -rf -- "$1" && ln -s -- "$2" "$1"'
        self._run(["sh", "-c", script, "sh", *arguments], partial(messages.shared_not_linked, name))

    def _fill(self, target: Path, source: Path) -> None:
        """Make the shared folder as the app's user, who owns it; a copy that was cut off is no folder yet."""
        script = (
            'new=$(dirname -- "$1")/.$(basename -- "$1").new && rm -rf -- "$new" && mkdir -p -- "$new" && '
            'if [ -d "$2" ]; then cp -R --no-preserve=all -- "$2/." "$new/"; fi && mv -T -- "$new" "$1"'
        )
        user = runner.user(self.context.settings.app_user)
        command = ["sh", "-c", script, "sh", str(target), str(source)]
        outcome = runner.run(runner.Task(command, user, self.context.paths.shared, BASE), self.events.output)
        if outcome.status:
            failure = messages.shared_not_made(target)
            failure.log = list(outcome.tail)
            raise failure

    def _run_build(self, command: str) -> None:
        env = environment.of_process(self.context, self.release.name, "build")
        env |= {"HOME": str(self.context.paths.cache), "USER": self.context.settings.builder}
        self._run(["sh", "-c", command], messages.build_command_failed, env)

    def _compile(self) -> None:
        """Compile the app's own code: processes may not write beside it, and start faster."""
        python = str(self.release / ".venv/bin/python")
        task = runner.Task(
            [python, "-I", "-m", "compileall", "-q", "-x", SKIPPED, "."],
            runner.user(self.context.settings.builder),
            self.release,
            BASE,
            umask=0o027,
        )
        runner.run(task)

    def undo(self) -> None:
        """Leave nothing of the release behind."""
        files.remove(self.release)


def _holds(path: Path, text: str, builder: str) -> bool:
    """Compare a file of the build user's, which may be anything by now, with what was written into it."""
    with identity.reading_as(builder), contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return os.read(handle, len(text) + 1) == text.encode()
        finally:
            os.close(handle)
    return False


def _last(tail: list[str], status: int) -> str:
    """Return the line that says why: uv's from `error:` on, which it breaks and draws a tree beside, else the last.

    Without room nothing else that is said matters.
    """
    said = [re.sub(r"^[^\w`'\"]+", "", line) for line in tail if line.strip()]
    if full := [line for line in said if NO_ROOM in line]:
        return full[0][:300]
    marked = [number for number, line in enumerate(said) if line.startswith(("error:", "No solution", "Because"))]
    words = said[marked[0] :] if marked else said[-1:] or [f"status {status}"]
    return " ".join(words)[:300]
