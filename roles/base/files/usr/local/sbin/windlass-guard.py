#!/usr/bin/env python3
# Managed by Windlass: changes made here are lost.
"""Take a change of sshd or of the firewall back, unless a login made after it confirms it in time.

    windlass-guard arm SUBJECT SECONDS      keep the files as they are now, and take them back after SECONDS
    windlass-guard apply SUBJECT SECONDS    have the changed files count, and begin to count the seconds anew
    windlass-guard confirm SUBJECT          the change stays; status 3 if it was taken back
    windlass-guard take-back [SUBJECT]      at once; without SUBJECT, all of them
    windlass-guard boot                     all of them, before the services that read the files are started

SUBJECT is ssh or firewall. What was kept lies in /var/lib/windlass-guard until it is confirmed or taken back: a timer
of systemd waits for that after the connection has ended, and windlass-guard.service does it before the network comes
up if the server was restarted meanwhile. Standard library only.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

STATE = Path("/var/lib/windlass-guard")
LOCK = Path("/run/windlass-guard.lock")
UNIT = Path("/etc/systemd/system/windlass-guard.service")
PROGRAM = "/usr/local/sbin/windlass-guard"
FIREWALL = "nftables.service"
NOT_PENDING = 3
AT_BOOT = """# Managed by Windlass: a change made here is lost at the next run.
[Unit]
Description=Take back what nobody confirmed of the settings of sshd and of the firewall
DefaultDependencies=no
RequiresMountsFor=/etc /usr /var/lib/windlass-guard
# The root file system begins read-only.
After=systemd-remount-fs.service
Before=network-pre.target nftables.service ssh.service ssh.socket
Wants=network-pre.target
ConditionDirectoryNotEmpty=/var/lib/windlass-guard

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/windlass-guard boot
# Whatever becomes of it, sshd is started.
TimeoutStartSec=60

[Install]
WantedBy=sysinit.target
"""


@dataclass(frozen=True)
class Subject:
    """What is guarded: files or directories, and the commands by which they count; the first that fails is told."""

    paths: list[str]
    apply: list[list[str]]


SUBJECTS = {
    "ssh": Subject(
        ["/etc/ssh/sshd_config.d/00-windlass.conf", "/etc/systemd/system/ssh.service.d/windlass.conf"],
        # A sandbox is entered at the start; the sessions that are open go on. What does not start comes to be `failed`,
        # and its directory in /run goes, without which sshd checks nothing.
        [
            ["install", "-d", "-m", "0755", "/run/sshd"],
            ["sshd", "-t"],
            ["systemctl", "daemon-reload"],
            ["systemctl", "reset-failed", "ssh.service"],
            ["systemctl", "restart", "ssh.service"],
        ],
    ),
    "firewall": Subject(
        ["/etc/nftables.conf", "/etc/nftables.d"],
        [
            ["systemctl", "enable", "--quiet", FIREWALL],
            ["systemctl", "reload-or-restart", FIREWALL],
        ],
    ),
}


def run(*command: str) -> None:
    """Run a command that must succeed; its last line of complaint ends the program."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or f"status {done.returncode}").splitlines()
        raise SystemExit(f"windlass-guard: {' '.join(command)}: {said[-1]}")


def is_so(*question: str) -> bool:
    """Return whether a command ends with status 0."""
    return subprocess.run(question, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0


def kept(subject: str) -> Path:
    """Return where the files lie that are to be taken back."""
    return STATE / subject


def put_away(path: Path) -> None:
    """Remove a file or a directory, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def copy(source: Path, target: Path) -> None:
    """Copy a file or a directory with its owner and mode."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target, follow_symlinks=False)
    for path in [source, *(source.rglob("*") if source.is_dir() else [])]:
        status = path.lstat()
        os.chown(target / path.relative_to(source), status.st_uid, status.st_gid, follow_symlinks=False)


def keep(subject: str) -> None:
    """Keep the files of a subject as they are now, all or nothing."""
    new = STATE.with_name(f"{STATE.name}.{subject}.new")  # not in STATE: what is there is pending
    put_away(new)
    new.mkdir(mode=0o700, parents=True)
    there = [path for path in SUBJECTS[subject].paths if Path(path).exists()]
    for number, path in enumerate(there):
        copy(Path(path), new / str(number))
    raised = is_so("systemctl", "is-enabled", FIREWALL)
    (new / "kept.json").write_text(json.dumps({"paths": there, "raised": raised}))
    STATE.mkdir(mode=0o755, parents=True, exist_ok=True)
    os.sync()
    new.rename(kept(subject))


def be_there_at_boot() -> None:
    """Have systemd take back at boot what is pending then."""
    if not UNIT.exists() or UNIT.read_text() != AT_BOOT:
        UNIT.write_text(AT_BOOT)
        os.sync()
    if not is_so("systemctl", "is-enabled", UNIT.name):
        run("systemctl", "enable", "--quiet", UNIT.name)


def timer(subject: str) -> str:
    """Return the name of the timer's unit."""
    return f"windlass-guard-{subject}"


def wait(subject: str, seconds: int) -> None:
    """Have it taken back after so many seconds from now."""
    forget(subject)
    count = [f"--on-active={seconds}", "--timer-property=AccuracySec=1s", "--collect", f"--unit={timer(subject)}"]
    run("systemd-run", "--quiet", *count, PROGRAM, "take-back", subject)


def forget(subject: str) -> None:
    """Stop the timer."""
    subprocess.run(["systemctl", "stop", f"{timer(subject)}.timer"], capture_output=True, check=False)


def arm(subject: str, seconds: int) -> None:
    """Keep what is there, unless an earlier change is pending: then what was before that one is what works."""
    if not kept(subject).exists():
        keep(subject)
    be_there_at_boot()
    wait(subject, seconds)


def apply(subject: str, seconds: int) -> None:
    """Have the files count."""
    if not kept(subject).exists():
        raise SystemExit(f"windlass-guard: {subject}: nothing is kept that could be taken back")
    wait(subject, seconds)
    for command in SUBJECTS[subject].apply:
        run(*command)


def confirm(subject: str) -> int:
    """Let the change stay."""
    if not kept(subject).exists():
        return NOT_PENDING
    done = STATE.with_name(f"{STATE.name}.{subject}.old")
    put_away(done)
    kept(subject).rename(done)
    forget(subject)
    put_away(done)
    return 0


def take_back(subject: str, *, at_boot: bool) -> None:
    """Put the kept files in place again, and have them count; at boot the services start later, with these files."""
    state = json.loads((kept(subject) / "kept.json").read_text())
    for path in map(Path, SUBJECTS[subject].paths):
        new = path.with_name(f"{path.name}.windlass-guard")
        put_away(new)
        if str(path) in state["paths"]:
            copy(kept(subject) / str(state["paths"].index(str(path))), new)
        put_away(path)
        if new.exists():
            new.rename(path)
    os.sync()
    if at_boot:  # to ask for a service that waits for this program would be to wait for oneself
        run("systemctl", "daemon-reload")
        lower(subject, bool(state["raised"]))
    else:
        count_again(subject, bool(state["raised"]))
    confirm(subject)
    print(f"{subject}: nobody confirmed the change; the settings are as they were before it", flush=True)


def count_again(subject: str, raised: bool) -> None:
    """Have what was put back count in the services that run."""
    if subject == "firewall":
        is_so("nft", "delete", "table", "inet", "windlass")
        lower(subject, raised)
        if not raised:
            return
    wrong: list[SystemExit] = []
    for command in SUBJECTS[subject].apply:  # what one of them says keeps none of the others from being done
        try:
            run(*command)
        except SystemExit as problem:
            wrong.append(problem)
    if wrong:
        raise wrong[0]


def lower(subject: str, raised: bool) -> None:
    """Leave the firewall down at the next start if it was not up before."""
    if subject == "firewall" and not raised:
        is_so("systemctl", "disable", "--quiet", FIREWALL)


def take_all_back(subjects: list[str], *, at_boot: bool) -> int:
    """Take back what is pending of these; one that cannot be does not keep the others from it."""
    status = 0
    for subject in subjects:
        if kept(subject).exists():
            try:
                take_back(subject, at_boot=at_boot)
            except (OSError, SystemExit) as problem:
                print(f"{subject}: {problem}", file=sys.stderr)
                status = 1
    return status


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Let no other run of this program come in between."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(arguments: list[str]) -> int:
    """Do what the arguments say."""
    verb, subject, seconds = [*arguments, "", "", ""][:3]
    known = (subject in SUBJECTS and verb != "boot") or (verb in ("take-back", "boot") and not subject)
    if verb not in ("arm", "apply", "confirm", "take-back", "boot") or not known:
        print((__doc__ or "").strip(), file=sys.stderr)
        return 2
    os.umask(0o022)
    with alone():
        if verb in ("take-back", "boot"):
            return take_all_back([subject] if subject else list(SUBJECTS), at_boot=verb == "boot")
        if verb == "confirm":
            return confirm(subject)
        {"arm": arm, "apply": apply}[verb](subject, int(seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
