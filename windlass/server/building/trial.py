"""A release that is built only to be looked at: in a place of its own, gone afterwards or swept up later."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from windlass.server import files
from windlass.server.paths import Paths


@dataclass(frozen=True)
class TrialPaths(Paths):
    """The places of an app, with the trials where the releases are: what is built here is in no list of releases."""

    @property
    def releases(self) -> Path:
        """One folder per trial, on the releases' file system."""
        return self.home / "trials"

    @property
    def makers(self) -> Path:
        """One folder per trial, for its archive, which its maker keeps locked for as long as the trial lives."""
        return self.state / "trials"

    def archive(self, name: str) -> Path:
        """Return where the archive of a trial comes in."""
        return self.makers / name / "archive"


@contextlib.contextmanager
def place(paths: Paths, name: str) -> Iterator[TrialPaths]:
    """Give a place for a trial, and leave nothing of it behind; what a killed one left goes first."""
    trials = TrialPaths(paths.prefix, paths.app)
    maker = trials.makers / name
    with _alone(trials):
        _sweep(trials)
        maker.mkdir(mode=0o700)
        handle = _locked(maker)
    try:
        yield trials
    finally:
        files.remove(trials.releases / name)
        files.remove(maker)
        os.close(handle)


def sweep(paths: Paths) -> None:
    """Remove the trials whose makers are gone."""
    trials = TrialPaths(paths.prefix, paths.app)
    if trials.makers.exists():
        with _alone(trials):
            _sweep(trials)


@contextlib.contextmanager
def _alone(trials: TrialPaths) -> Iterator[None]:
    """Keep others from beginning or sweeping up trials for a moment."""
    for folder, mode in ((trials.makers, 0o700), (trials.releases, 0o750)):
        folder.mkdir(mode=mode, exist_ok=True)
    status = trials.home.stat()
    os.chown(trials.releases, status.st_uid, status.st_gid)
    handle = _locked(trials.makers)
    try:
        yield
    finally:
        os.close(handle)


def _locked(folder: Path, mode: int = 0) -> int:
    """Open a folder and lock it; BlockingIOError when `mode` is LOCK_NB and somebody else has it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | mode)
    except BaseException:
        os.close(handle)
        raise
    return handle


def _sweep(trials: TrialPaths) -> None:
    """Remove each trial whose maker is gone; a release with no maker is one whose removal was cut off."""
    for maker in trials.makers.iterdir():
        with contextlib.suppress(BlockingIOError):
            handle = _locked(maker, fcntl.LOCK_NB)
            files.remove(trials.releases / maker.name)
            files.remove(maker)
            os.close(handle)
    for release in trials.releases.iterdir():
        if not (trials.makers / release.name).exists():
            files.remove(release)
