"""Reach a server over SSH as whoever its provider let in, with what Ansible needs on it.

It runs on the machine that runs Ansible and asks the server by shell: a fresh server may have no Python.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

INTERRUPTED = "windlass-dpkg-interrupted"
# "in" tells a real shell from a forced command that only says "please log in as ...".
PROBE = (
    "echo windlass-in; command -v python3; command -v sudo; "
    "test -e /usr/lib/python3/dist-packages/apt/__init__.py && echo python3-apt; "
    "ls /var/lib/apt/lists/*Packages* >/dev/null 2>&1 && echo package-lists; "
    "cat /etc/ssh/ssh_host_ed25519_key.pub 2>/dev/null; "
    f"ls /var/lib/dpkg/updates 2>/dev/null | grep -q . && echo {INTERRUPTED}; "
    f"grep -Eq '^Status: .* (unpacked|half-(configured|installed))' /var/lib/dpkg/status && echo {INTERRUPTED}; "
    "ls /var/lib/windlass-guard 2>/dev/null | sed 's/^/windlass-pending-/'; "
    'if [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; then echo windlass-root; fi; true'
)
GUARD = "/usr/local/sbin/windlass-guard"
NEEDED = ("python3", "sudo", "python3-apt", "package-lists")
# A fresh server installs updates by itself: whoever finds apt's or dpkg's lock taken waits for it, up to 5 minutes.
PATIENT = (
    "export DEBIAN_FRONTEND=noninteractive LC_ALL=C; "
    'patient() { for n in $(seq 60); do said=$("$@" 2>&1) && return 0; '
    'case $said in *"get lock"* | *"locked by"*) sleep 5 ;; *) break ;; esac; done; echo "$said" >&2; return 1; }; '
)
INSTALL = PATIENT + (
    "patient apt-get -q update && patient apt-get -q -y install --no-install-recommends python3 python3-apt sudo"
)
REPAIR = PATIENT + "patient dpkg --force-confold --configure -a"
TAKEN_BACK = 3  # exit status of windlass-guard confirm
CHANGED_KEY = (
    "REMOTE HOST IDENTIFICATION HAS CHANGED",
    "Host key verification failed",
    "host key is known for",
)


class RefusalError(Exception):
    """The server cannot be provisioned; the text is one line for the owner."""


def known_host_name(host: str, port: int) -> str:
    """Return the name that a known_hosts file has for a host: ``host`` or ``[host]:port``."""
    return host if port == 22 else f"[{host}]:{port}"


def shown_key(host: str, port: int, failure: str) -> str:
    """Return the fingerprint of the key that a server shows: from what ssh said, or else by asking the server."""
    told = re.search(r"fingerprint for the (\S+) key sent by the remote host is\s+(SHA256:\S+?)\.?\s", failure)
    if told:
        return f"{told[2]} ({told[1]})"
    scan = ["ssh-keyscan", "-T", "10", "-p", str(port), "-t", "ed25519,rsa,ecdsa", host]
    keys = subprocess.run(scan, capture_output=True, check=False, stdin=subprocess.DEVNULL).stdout
    prints = subprocess.run(["ssh-keygen", "-l", "-f", "-"], input=keys, capture_output=True, check=False).stdout
    words = [line.split() for line in prints.decode(errors="replace").splitlines()]
    return ", ".join(f"{found[1]} {found[-1]}" for found in words if len(found) > 2) or "one that could not be read"


def recorded_keys(name: str, known_hosts: Path) -> str:
    """Return the keys recorded for a host, as ``ssh-keygen -l`` prints them; empty for an unknown host."""
    if not known_hosts.exists():
        return ""
    command = ["ssh-keygen", "-l", "-F", name, "-f", str(known_hosts)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    words = [line.split() for line in done.stdout.splitlines() if line and not line.startswith("#")]
    return ", ".join(f"{found[2]} ({found[1]})" for found in words if len(found) > 2)


class ActionModule(ActionBase):
    """``windlass_reach``: users (tried in this order), known_hosts (path on this machine), fresh (bool), confirm.

    A fresh connection is a login of its own, beside the one that Ansible keeps open. ``confirm`` names a guarded
    change (windlass_guard) which stays if that login succeeds.
    """

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return ``user``, the one that provisions; ``key`` when the server's key was recorded now."""
        super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            {
                "users": {"type": "list", "elements": "str", "required": True},
                "known_hosts": {"type": "path", "required": True},
                "fresh": {"type": "bool", "default": False},
                "confirm": {"type": "str", "choices": ["", "ssh", "firewall"], "default": ""},
            }
        )
        if self._connection.transport != "ssh":
            return self._without_ssh(args["users"][0], args["confirm"])
        self._fresh = bool(args["fresh"])
        if self._fresh:
            self._prefer("-o ControlMaster=no -o ControlPath=none")
        try:
            found = self._reach(list(dict.fromkeys(args["users"])), Path(args["known_hosts"]))
            if args["confirm"]:
                self._confirm(found["user"], args["confirm"])
            return found
        except RefusalError as refusal:
            return {"failed": True, "msg": str(refusal)}

    def _without_ssh(self, user: str, subject: str) -> dict[str, Any]:
        """Confirm a guarded change where nobody comes in by SSH: Ansible runs on the server, and goes on doing so."""
        if subject:
            done = self._low_level_execute_command(f"{GUARD} confirm {subject}", sudoable=True)
            if done["rc"]:
                return {"failed": True, "msg": f"the change of {subject} could not be confirmed: status {done['rc']}"}
        return {"changed": False, "user": user, "key": ""}

    def _reach(self, users: list[str], known_hosts: Path) -> dict[str, Any]:
        new_key = not recorded_keys(self._name(), known_hosts)
        if new_key:
            known_hosts.parent.mkdir(parents=True, exist_ok=True)
            self._prefer(
                "-o StrictHostKeyChecking=accept-new -o HashKnownHosts=no -o HostKeyAlgorithms=^ssh-ed25519 "
                + shlex.quote(f'-oUserKnownHostsFile="{known_hosts}"')
            )
        user, missing = self._first_user_let_in(users, known_hosts)
        if missing:
            self._install(user)
        key = recorded_keys(self._name(), known_hosts) if new_key else ""
        return {"changed": bool(missing or key), "user": user, "key": key, "installed": missing}

    def _first_user_let_in(self, users: list[str], known_hosts: Path) -> tuple[str, list[str]]:
        """Return the first user with root's rights, and the programs that the server lacks."""
        refusals = []
        for user in users:
            said = self._ask(user, known_hosts)
            self._record_lasting_key(said, known_hosts)
            if "windlass-in" not in said:
                refusals.append(f"{user} (not let in)")
            elif "windlass-root" not in said:
                there = any(line.endswith("/sudo") for line in said)
                refusals.append(f"{user} ({'sudo asks for a password' if there else 'there is no sudo'})")
            else:
                pending = any(line.startswith("windlass-pending-") for line in said)
                if pending and not self._fresh and not self._task.check_mode:
                    # A run before this one ended too early: this one starts from what works.
                    self._as_root(user, f"{GUARD} take-back")
                if not self._fresh and INTERRUPTED in said and not self._task.check_mode:
                    self._repair(user)
                programs = {Path(line).name for line in said}
                return user, [program for program in NEEDED if program not in programs]
        raise RefusalError(
            f"{self._option('host')}: nobody can provision with your SSH key: {', '.join(refusals)}. "
            "Put the key on the server as root or as a sudo user, and name that user in bootstrap_users."
        )

    def _ask(self, user: str, known_hosts: Path) -> list[str]:
        """Return the lines that the probe printed as a user; none if the server refuses that user."""
        self._connection.set_option("remote_user", user)
        self._connection.control_path = None
        try:
            _, stdout, _ = self._connection.exec_command(PROBE, sudoable=False)
        except AnsibleConnectionFailure as failure:
            self._explain(str(failure), known_hosts)
            return []
        return bytes(stdout).decode(errors="replace").split("\n")

    def _record_lasting_key(self, said: list[str], known_hosts: Path) -> None:
        """Record the server's Ed25519 key, told over a connection whose key is known: others are closed later."""
        keys = [line.split()[:2] for line in said if line.startswith("ssh-ed25519 ")]
        known = recorded_keys(self._name(), known_hosts)
        if keys and known and "ED25519" not in known:
            with known_hosts.open("a") as file:
                file.write(" ".join([self._name(), *keys[0]]) + "\n")

    def _explain(self, failure: str, known_hosts: Path) -> None:
        """Raise unless the failure only says that this user is not let in."""
        host = self._option("host")
        if any(text in failure for text in CHANGED_KEY):
            shown = shown_key(host, int(self._option("port") or 22), failure)
            raise RefusalError(
                f"{host}: its host key has CHANGED: {recorded_keys(self._name(), known_hosts)} is recorded in "
                f"{known_hosts}, it shows {shown}. If the server was reinstalled, and only then: "
                f"ssh-keygen -f {known_hosts} -R '{self._name()}'"
            )
        if "Permission denied" in failure or "Too many authentication failures" in failure:
            return
        reason = [line for line in failure.splitlines() if line.strip()][-1].strip()
        raise RefusalError(
            f"{host}: cannot be reached over SSH: {reason}. Is it up, and are ansible_host and ansible_port right?"
        )

    def _install(self, user: str) -> None:
        """Put on the server what every later task needs, and a mere check too: it asks in Python, and asks apt."""
        host = self._option("host")
        status, said = self._as_root(user, INSTALL)
        if status:
            raise RefusalError(f"{host}: python3 could not be installed: {said}")

    def _repair(self, user: str) -> None:
        """End what dpkg was doing when it was killed, or the power went: until then nothing can be installed."""
        status, said = self._as_root(user, REPAIR)
        if status:
            raise RefusalError(
                f"{self._option('host')}: dpkg was interrupted, and does not come to its end: {said}. "
                "Repair it on the server (dpkg --configure -a), then run this again."
            )

    def _confirm(self, user: str, subject: str) -> None:
        """Have a guarded change stay; it is too late when the guard has taken it back."""
        status, said = self._as_root(user, f"{GUARD} confirm {subject}")
        if status:
            late = "the login came too late" if status == TAKEN_BACK else said
            raise RefusalError(f"{self._option('host')}: the change could not be confirmed: {late}")

    def _as_root(self, user: str, command: str) -> tuple[int, str]:
        """Run a command with root's rights; return its status and the last line that it said."""
        prefix = "" if user == "root" else "sudo -n "
        status, stdout, stderr = self._connection.exec_command(f"{prefix}sh -c '{command}'", sudoable=False)
        said = bytes(stderr or stdout).decode(errors="replace").strip().splitlines() or ["no output"]
        return int(status), said[-1]

    def _name(self) -> str:
        return known_host_name(self._option("host"), int(self._option("port") or 22))

    def _prefer(self, options: str) -> None:
        """Give ssh options that win over the inventory's: the first value that ssh reads counts."""
        self._connection.set_option("ssh_args", f"{options} {self._option('ssh_args') or ''}")

    def _option(self, name: str) -> Any:
        return self._connection.get_option(name)
