"""From an app's repository and a version to one commit and one archive."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from windlass import messages

_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/@+#~^-]{0,199}")
_URL = re.compile(r"(https|ssh|file)://[^\s\0]+|[A-Za-z0-9_.-]+@[A-Za-z0-9.-]+:[^\s\0-][^\s\0]*")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(:|//)")
_PASSWORD = re.compile(r"(?<=://)[^/@\s]+@")
PROTOCOLS = "https:ssh:file"
# Set when `fab` runs in a git hook; they would lead git to another repository.
_HOOK_VARIABLES = frozenset({"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_OBJECT_DIRECTORY"})


@dataclass(frozen=True)
class Source:
    """A commit of an app. `folder` is where `git archive` runs; `notes` are what the user should know."""

    folder: Path
    commit: str
    version: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Archive:
    """A tar.gz of a commit; the same commit always gives the same bytes. `size` in bytes."""

    file: IO[bytes]
    size: int
    sha256: str


def check_reference(version: str, where: str = "") -> str:
    """Return the version if it may be given to git, or refuse it."""
    if not _REFERENCE.fullmatch(version) or ".." in version or "@{" in version:
        raise messages.bad_reference(version, where)
    return version


def redacted(repository: str) -> str:
    """Return a URL without the password in it."""
    return _PASSWORD.sub("", repository)


def resolve(repository: str, version: str, directory: str, base: Path, where: str, app: str, key: str = "") -> Source:
    """Find the commit of a version.

    `base` is the folder that a relative path starts at, `where` the entry's FILE:LINE,
    `key` the version's place if it is from there.
    """
    check_reference(version, key)
    if _URL.fullmatch(repository):
        folder = _mirror(repository)
        notes: tuple[str, ...] = ()
    else:
        if _SCHEME.match(repository) or repository.startswith("-"):
            raise messages.bad_repository(where, redacted(repository))
        folder = (base / Path(repository).expanduser()).resolve()
        if not folder.is_dir():
            raise messages.not_a_repository(where, str(folder), "no such folder")
        if reason := _refusal(["rev-parse", "--git-dir"], folder):
            raise messages.not_a_repository(where, str(folder), reason)
        notes = _uncommitted(folder)
    commit = asks(["rev-parse", "--verify", "--quiet", f"{version}^{{commit}}"], folder)
    if not re.fullmatch(r"[0-9a-f]{40}([0-9a-f]{24})?", commit):
        known = asks(["for-each-ref", "--format=%(refname:lstrip=2)", "refs/heads", "refs/tags"], folder)
        raise messages.unknown_version(version, redacted(repository), key, known.splitlines())
    _check_directory(folder, commit, directory, version, app)
    return Source(folder, commit, version, notes + _submodules(folder, commit))


def _check_directory(folder: Path, commit: str, directory: str, version: str, app: str) -> None:
    prefix = asks(["rev-parse", "--show-prefix"], folder)
    place = os.path.normpath(f"{prefix}{directory}")
    tree = f"{commit}^{{tree}}" if place == "." else f"{commit}:{place}"
    if asks(["cat-file", "-t", tree], folder) != "tree":
        raise messages.no_such_directory(app, place, version)


def read(source: Source, place: str) -> str:
    """Return a file of the commit, nothing when there is none; `place` is seen from the app's repository."""
    return asks(["cat-file", "blob", f"{source.commit}:{_inside(source, place)}"], source.folder)


def folders_with(source: Source, name: str) -> list[str]:
    """Return the folders one level down that hold a file of that name."""
    top = _inside(source, ".")
    tree = source.commit if top == "." else f"{source.commit}:{top}"
    places = asks(["ls-tree", "-r", "--name-only", "--full-tree", tree], source.folder).splitlines()
    return sorted(place.split("/")[0] for place in places if place.count("/") == 1 and place.endswith(f"/{name}"))


def _inside(source: Source, place: str) -> str:
    return os.path.normpath(f"{asks(['rev-parse', '--show-prefix'], source.folder)}{place}")


def _uncommitted(folder: Path) -> tuple[str, ...]:
    changes = asks(["status", "--porcelain", "--", "."], folder).splitlines()
    if not changes:
        return ()
    return (f"{len(changes)} uncommitted change{'s'[: len(changes) > 1]} in {folder} will not be deployed",)


def _submodules(folder: Path, commit: str) -> tuple[str, ...]:
    if asks(["cat-file", "-t", f"{commit}:.gitmodules"], folder) != "blob":
        return ()
    return ("the repository has submodules, which are not part of what is deployed",)


def _mirror(url: str) -> Path:
    """Return the local copy of a repository, brought up to date."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "windlass" / "git"
    folder = cache / f"{hashlib.sha256(url.encode()).hexdigest()[:20]}.git"
    if folder.is_dir():
        _must(["fetch", "--quiet", "--prune", "--tags", "--force", "origin"], folder, "fetch", url)
        return folder
    cache.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=cache) as new:
        _must(["clone", "--quiet", "--mirror", "--", url, f"{new}/git"], cache, "clone", url)
        with contextlib.suppress(OSError):  # another run was quicker
            Path(new, "git").rename(folder)
    return folder


@contextlib.contextmanager
def archive(source: Source, url: str) -> Iterator[Archive]:
    """Give the archive of a commit, in a temporary file that is gone afterwards."""
    with tempfile.TemporaryFile() as file:
        with _git(["archive", "--format=tar", source.commit], source.folder) as git:
            assert git.stdout is not None and git.stderr is not None  # noqa: S101 - for the type checker
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=6, mtime=0) as packed:
                while block := git.stdout.read(1 << 20):
                    packed.write(block)
            reason = git.stderr.read().decode(errors="replace")
        if git.returncode:
            raise messages.git_failed("archive", redacted(url), _last(reason))
        size = file.tell()
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        yield Archive(file, size, digest)


def _git(arguments: list[str], folder: Path) -> subprocess.Popen[bytes]:
    environment = {
        **{name: value for name, value in os.environ.items() if name not in _HOOK_VARIABLES},
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": PROTOCOLS,
        "LC_ALL": "C",
    }
    command = ["git", "-c", "core.quotePath=false", "-c", "tar.umask=0022", *arguments]
    try:
        return subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except FileNotFoundError as error:
        raise messages.git_missing() from error


def asks(arguments: list[str], folder: Path) -> str:
    """Return what git answers, or nothing if it fails."""
    with _git(arguments, folder) as git:
        answer = git.communicate()[0]
    return "" if git.returncode else answer.decode(errors="replace").strip()


def _refusal(arguments: list[str], folder: Path) -> str:
    """Run git, and return why it failed, or nothing."""
    with _git(arguments, folder) as git:
        reason = git.communicate()[1].decode(errors="replace")
    return _last(reason) if git.returncode else ""


def _must(arguments: list[str], folder: Path, action: str, url: str) -> None:
    if reason := _refusal(arguments, folder):
        raise messages.git_failed(action, redacted(url), reason.replace(url, redacted(url)))


def _last(reason: str) -> str:
    """Return the line of git's that says why: the first that is marked as fatal, or the last."""
    lines = [line for line in reason.splitlines() if line.strip()]
    fatal = [line.removeprefix("fatal: ") for line in lines if line.startswith("fatal: ")]
    return fatal[0] if fatal else lines[-1] if lines else "it does not say why"
