"""Every error that a user of `fab` can meet: what is wrong, where, and what to type."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from windlass.errors import Status, WindlassError


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `did you mean X?`, or the known words when none is near."""
    known = sorted(set(known))
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]}?"
    return f"known: {', '.join(known)}" if known else "nothing is known here"


# The command line and the inventory.


def unknown_environment(name: str, known: list[str], folder: Path) -> WindlassError:
    """--env names no inventory."""
    there = f"there are: {', '.join(known)}" if known else "there is none yet"
    return WindlassError(f"no inventory {name!r} in {folder}", f"{there}; a path to a folder works too")


def no_inventory(path: Path) -> WindlassError:
    """There is no such file or folder."""
    hint = "make the demo's with script/demo, or name yours: fab --env, ansible-playbook -i"
    return WindlassError(f"{path}: no such inventory", hint)


def no_hosts_file(path: Path) -> WindlassError:
    """An inventory directory without a host in it."""
    return WindlassError(
        f"{path}: no hosts in this inventory", "write its hosts.yml, or make the demo's with script/demo"
    )


def no_app_hosts(path: Path) -> WindlassError:
    """The group `app` is empty."""
    return WindlassError(f"{path}: no host in the group `app`", "list the servers of the apps under app: hosts:")


def no_apps(path: Path) -> WindlassError:
    """The inventory has no apps."""
    return WindlassError(f"{path}: no apps", "write the list `apps:` in its group_vars/all/main.yml")


def unknown_app(name: str, known: list[str]) -> WindlassError:
    """--app names none of the inventory."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    guess = f"did you mean {near[0]}? " if near else ""
    return WindlassError(f"no app {name!r} in the inventory", f"{guess}there are: {', '.join(known)}")


def which_app(known: list[str]) -> WindlassError:
    """Several apps, and none named."""
    return WindlassError(f"which app? there are: {', '.join(known)}", f"type --app {known[0]}")


def vault_password_missing(path: str) -> WindlassError:
    """The vault's password was not given."""
    return WindlassError(
        f"{path}: encrypted, and no vault password was given",
        "set ANSIBLE_VAULT_PASSWORD_FILE to a file that holds it, or run from a terminal to be asked",
    )


def vault_password_wrong(path: str) -> WindlassError:
    """The vault's password does not fit."""
    return WindlassError(
        f"{path}: the vault password is wrong",
        "give the right one: ANSIBLE_VAULT_PASSWORD_FILE, or vault_password_file in ansible.cfg",
    )


def vault_password_unreadable(reason: str) -> WindlassError:
    """The vault password file is not there, or is empty."""
    return WindlassError(reason.rstrip("."), "correct ANSIBLE_VAULT_PASSWORD_FILE, or unset it to be asked")


def unreadable_inventory(where: str, reason: str) -> WindlassError:
    """Ansible could not read a file of the inventory."""
    return WindlassError(f"{where}: {reason.rstrip('.')}", "correct that file")


def not_a_number(option: str, value: str) -> WindlassError:
    """An option that takes a number was given something else."""
    return WindlassError(f"--{option} takes a number, not {value!r}", f"type --{option} 100")


def bad_release(name: str) -> WindlassError:
    """--to is no name of a release."""
    return WindlassError(f"{name!r} is not the name of a release", "fab releases lists them")


def bad_process(name: str) -> WindlassError:
    """--process is no name of a process."""
    return WindlassError(f"{name!r} is not the name of a process", "fab status lists them")


def bad_maintenance(word: str) -> WindlassError:
    """`fab maintenance` takes one of two words."""
    return WindlassError(
        f"maintenance takes on or off, not {word!r}", "type fab maintenance on, or fab maintenance off"
    )


def no_command() -> WindlassError:
    """`fab run` without a command."""
    return WindlassError("no command given", "type fab run 'COMMAND', with quotes around it")


# The source.


def bad_reference(version: str) -> WindlassError:
    """A version that is no name of a branch, tag or commit."""
    return WindlassError(
        f"version {version!r} is not a name of a branch, tag or commit",
        "it may hold letters, digits and . _ / @ + # ~ ^ - and begins with a letter or digit",
    )


def unknown_version(version: str, repository: str) -> WindlassError:
    """The repository has no such commit."""
    return WindlassError(
        f"no version {version!r} in {repository}",
        "name a branch, tag or commit that is there; git log shows them",
    )


def not_a_repository(where: str, repository: str, reason: str) -> WindlassError:
    """The path of an app's repository leads nowhere."""
    hint = "write the path of a git repository, or of a folder in one"
    if "dubious ownership" in reason:
        hint = f"it is another user's; trust it with git config --global --add safe.directory {repository}"
    return WindlassError(f"{where}: repository: {repository}: {reason}", hint)


def bad_repository(where: str, repository: str) -> WindlassError:
    """A git URL of a kind that is not allowed."""
    return WindlassError(
        f"{where}: repository: {repository} is neither a path nor an https, ssh or file URL",
        "write https://HOST/PATH.git, user@HOST:PATH.git or a path",
    )


def git_missing() -> WindlassError:
    """No git on the laptop."""
    return WindlassError("git is not installed", "install git, then run this again")


def git_failed(action: str, repository: str, reason: str) -> WindlassError:
    """Git says no."""
    hint = f"git ls-remote {repository} has to work on this machine"
    return WindlassError(f"git cannot {action} {repository}: {reason}", hint, Status.FAILED)


def no_such_directory(app: str, directory: str, version: str) -> WindlassError:
    """The commit has no folder of that name."""
    return WindlassError(
        f"{app}: directory: {version} has no folder {directory!r}",
        "write the folder that holds the app, as it is in the repository",
    )


# The connection.


def unreached(host: str, address: str, reason: str) -> WindlassError:
    """No SSH connection could be made."""
    return WindlassError(
        f"{host} ({address}) does not answer: {reason}",
        "is it up, and are ansible_host and ansible_port right?",
        Status.UNREACHED,
    )


def host_key_unknown(host: str, address: str, fingerprint: str, known_hosts: Path) -> WindlassError:
    """The server's key is in no known_hosts."""
    return WindlassError(
        f"{host} ({address}): its host key {fingerprint} is not in {known_hosts}",
        "compare it with the server's own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), "
        f"then add the line that {_keyscan(address)} prints",
        Status.UNREACHED,
    )


def host_key_changed(host: str, address: str, known: str, offered: str, known_hosts: Path) -> WindlassError:
    """The server shows another key than the recorded one."""
    return WindlassError(
        f"{host} ({address}): its host key has CHANGED: {known} is recorded, it shows {offered}",
        f"if the server was reinstalled: ssh-keygen -f {known_hosts} -R '{address}', and record the new one",
        Status.UNREACHED,
    )


def key_refused(host: str, user: str, key_file: Path | None) -> WindlassError:
    """The server does not let us in."""
    shown = f"the key {key_file}" if key_file else "any key of ~/.ssh or the agent"
    return WindlassError(
        f"{host}: {user} was refused with {shown}",
        "put your public key in base_deploy_keys or base_admin_keys and run ansible-playbook site.yml",
        Status.UNREACHED,
    )


def key_locked(key_file: Path | None) -> WindlassError:
    """The private key has a passphrase, and no agent holds it."""
    return WindlassError(
        f"the key {key_file or 'of ~/.ssh'} has a passphrase",
        f"hand it to the agent: ssh-add {key_file or ''}".strip(),
        Status.UNREACHED,
    )


def key_unreadable(key_file: Path, reason: str) -> WindlassError:
    """The private key cannot be used."""
    return WindlassError(
        f"ansible_ssh_private_key_file: {key_file}: {reason}",
        "correct it, or ssh-add a key",
        Status.UNREACHED,
    )


def link_gone(host: str, seconds: int, under_way: bool) -> WindlassError:
    """The connection died."""
    hint = "the server goes on by itself; fab status tells" if under_way else "nothing was begun; run it again"
    return WindlassError(f"{host}: no sign of life for {seconds} s; the link is gone", hint, Status.UNREACHED)


def link_closed(host: str, under_way: bool) -> WindlassError:
    """The connection ended before the server's last word."""
    hint = "the server goes on by itself; fab status tells" if under_way else "fab status tells what it did"
    return WindlassError(f"{host}: the connection ended early", hint, Status.UNREACHED)


# The server.


def not_provisioned(host: str, reason: str) -> WindlassError:
    """The release program is not there, or may not be run."""
    return WindlassError(
        f"{host}: the release program does not run: {reason}",
        "provision the server: ansible-playbook site.yml",
        Status.FAILED,
    )


def unreadable_answer(host: str, line: str) -> WindlassError:
    """The server said something that is not of the protocol."""
    return WindlassError(
        f"{host}: not understood: {line[:120]!r}",
        "bring the server up to this version: ansible-playbook site.yml --tags app",
        Status.FAILED,
    )


def interrupted(under_way: bool, command: bool = False) -> WindlassError:
    """Ctrl-C."""
    hint = "the server goes on by itself; fab status tells" if under_way else "nothing was changed"
    hint = "the command was ended on the server" if command else hint
    return WindlassError("interrupted", hint, Status.INTERRUPTED)


def _keyscan(address: str) -> str:
    """Return the command that prints the key of [HOST]:PORT or HOST."""
    if address.startswith("["):
        host, _, port = address[1:].partition("]:")
        return f"ssh-keyscan -p {port} {host}"
    return f"ssh-keyscan {address}"
