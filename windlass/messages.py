"""Every message that a user of `fab` can meet: what is wrong, where, and what to type.

First what the laptop finds, then what the release program on the server says. Standard library only, and with few
imports: the release program brings it along and starts often.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from windlass.errors import Status, WindlassError
from windlass.server.errors import Failure

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_PROVISION = "run ansible-playbook site.yml"
_WRITE_SETTINGS = "run ansible-playbook site.yml: it writes the app's settings"
_NO_SNAPSHOT = "nothing was changed: mend that and deploy again, or set `keep_snapshots: 0` to go without copies"
_VAULT_VERBS = "fab secrets init makes the vault, edit opens it in your editor, rotate NAME renews one of it"
_SEE_LOG = "nothing changed for visitors: see the log, mend it and deploy again"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `did you mean X?`, or the known words when none is near."""
    known = sorted(set(known))
    if found := near(word, known):
        return f"did you mean {found}?"
    return f"known: {', '.join(known)}" if known else "nothing is known here"


def near(word: str, known: list[str], likeness: float = 0.6) -> str:
    """Return the known word that is nearest, or nothing."""
    import difflib  # slow to import, and only mistakes need it

    return next(iter(difflib.get_close_matches(word, known, n=1, cutoff=likeness)), "")


def vault_name_wanting(name: str, known: list[str]) -> str:
    """Return what to do about a secret that is not there; the name of another app's is near too, and not meant."""
    if meant := near(name, known, likeness=0.95):
        return f"did you mean {meant}?"
    return "type fab secrets init, with the --env of this inventory"


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


def no_web_group(path: Path) -> WindlassError:
    """Nothing would serve the apps."""
    return WindlassError(
        f"{path}: no group `web`, so nothing would serve the apps",
        "list their servers under web: hosts: too, or write `web: {}` to do without nginx",
    )


def no_apps(path: Path) -> WindlassError:
    """The inventory has no apps."""
    return WindlassError(f"{path}: no apps", "write the list `apps:` in its group_vars/all/main.yml")


def unknown_app(name: str, known: list[str]) -> WindlassError:
    """--app names none of the inventory."""
    found = near(name, known)
    guess = f"did you mean {found}? " if found else ""
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


def bad_secrets_action(word: str) -> WindlassError:
    """`fab secrets` takes one of three words."""
    return WindlassError(f"secrets takes init, edit or rotate, not {word!r}", _VAULT_VERBS)


def secrets_takes_no_name(action: str) -> WindlassError:
    """`fab secrets edit NAME`."""
    return WindlassError(f"secrets {action} takes no name", f"type fab secrets {action}")


def rotate_what(known: list[str]) -> WindlassError:
    """`fab secrets rotate` alone."""
    there = f"the vault has {', '.join(known)}" if known else "the vault is empty"
    return WindlassError("rotate which secret?", f"type fab secrets rotate NAME, vault-password or database; {there}")


def no_database_password() -> WindlassError:
    """No app reaches its database by a password that Windlass makes."""
    return WindlassError(
        "no app has its database on another server, so there is no password of one to renew",
        "on one server the app enters as its unix user; type fab secrets rotate NAME for a name of the vault",
    )


def database_forgets_by_itself() -> WindlassError:
    """`fab secrets rotate database --forget`."""
    return WindlassError(
        "the passwords of a database go by themselves as soon as nothing uses them",
        "leave --forget out, type ansible-playbook site.yml after it, and end what that run still names",
    )


def generation_elsewhere(where: str, key: str) -> WindlassError:
    """The count stands where its owner wrote it."""
    return WindlassError(f"{where}: {key} is in a file of yours", "write the next number there, and provision")


def bad_generation(path: Path, key: str) -> WindlassError:
    """The count is no number."""
    return WindlassError(
        f"{path}: {key} is not a whole number", f"write {key}: 1 there, and type the same command again"
    )


def cannot_write(path: Path, reason: str) -> WindlassError:
    """A file of the inventory cannot be written."""
    return WindlassError(f"{path}: cannot be written: {reason}", "see who may write there; the inventory is as it was")


def no_such_secret(name: str, known: list[str]) -> WindlassError:
    """`fab secrets rotate` names what the vault does not have."""
    return WindlassError(f"no secret {name} in the vault", did_you_mean(name, [*known, "vault-password", "database"]))


def secret_of_others(name: str, where: str) -> WindlassError:
    """Its value is agreed with somebody else."""
    hint = "change it there, then type fab secrets edit"
    return WindlassError(f"{name} ({where}) is known to another party, who has to have the new one too", hint)


def no_fallbacks(app: str, setting: str, name: str) -> WindlassError:
    """The app would not know the old key any more."""
    return WindlassError(
        f"{app} has no setting {setting}_FALLBACKS, so every session would end with the old key",
        f'add {setting}_FALLBACKS: "{{{{ {name}_fallbacks }}}}" to its env and type fab secrets init '
        "(the app has to read it: docs/secrets.md), or end them with --forget",
    )


def key_with_space(name: str) -> WindlassError:
    """The old key cannot be one word of a list."""
    return WindlassError(
        f"{name} has a space in it, and fallbacks are split at spaces", "end the sessions with --forget"
    )


def no_vault(path: Path) -> WindlassError:
    """The inventory has no encrypted file."""
    return WindlassError(f"{path}: there is no vault yet", "type fab secrets init")


def vault_not_encrypted(path: Path) -> WindlassError:
    """The secrets lie open."""
    return WindlassError(f"{path}: not encrypted", f"type ansible-vault encrypt {path}, and change what was in git")


def vault_not_text(path: Path) -> WindlassError:
    """It was encrypted, but it is no text."""
    return WindlassError(f"{path}: what is encrypted there is no text", "make it anew: move it away, fab secrets init")


def vault_not_yaml(path: Path, line: int) -> WindlassError:
    """What was typed is no YAML; its words are secrets."""
    return WindlassError(f"{path}:{line}: no YAML", 'nothing was saved: write lines of vault_NAME: "value"')


def vault_not_names(path: Path) -> WindlassError:
    """The vault holds something else than names and values."""
    return WindlassError(f"{path}: holds no names with values", 'nothing was saved: write lines of vault_NAME: "value"')


def vault_bad_name(path: Path, line: int) -> WindlassError:
    """A name of the vault does not say that it is one."""
    return WindlassError(f"{path}:{line}: the name does not begin with vault_", "nothing was saved: write vault_NAME")


def vault_name_twice(path: Path, line: int, name: str) -> WindlassError:
    """Which of the two counts?"""
    return WindlassError(f"{path}:{line}: {name} is there twice", "nothing was saved: delete one")


def vault_not_plain(path: Path) -> WindlassError:
    """A value cannot be changed without an understanding of what its owner meant."""
    return WindlassError(f"{path}: not written as plain lines of names and values", "change it with fab secrets edit")


def vault_changed_meanwhile(path: Path) -> WindlassError:
    """Somebody else saved it first."""
    return WindlassError(f"{path}: was changed by somebody else meanwhile", "nothing was saved: do it again")


def editor_missing(command: str, reason: str) -> WindlassError:
    """$EDITOR is no program."""
    return WindlassError(f"the editor {command} cannot be started: {reason}", "set EDITOR to one that is installed")


def editor_failed(command: str, status: int) -> WindlassError:
    """The editor ended with an error: what it left may be half a file."""
    return WindlassError(f"the editor {command} ended with status {status}", "nothing was saved: do it again")


def editor_left_no_text(command: str) -> WindlassError:
    """What was to be saved is gone, or in another encoding."""
    return WindlassError(f"the editor {command} left no text in UTF-8", "nothing was saved: do it again")


def no_password_file() -> WindlassError:
    """The vault's password is typed, or not given at all."""
    hint = "set ANSIBLE_VAULT_PASSWORD_FILE to its file, or type ansible-vault rekey"
    return WindlassError("the vault's password is in no file that could get a new one", hint)


def password_file_open(path: Path, mode: int) -> WindlassError:
    """Others may read the vault's password."""
    return WindlassError(f"{path}: others may read the vault's password (mode {mode:04o})", f"type chmod 600 {path}")


def password_file_runs(path: Path) -> WindlassError:
    """The file is a program that prints the password."""
    hint = "use ansible-vault create and rekey with it, or make it a plain file: chmod 600"
    return WindlassError(f"{path}: a program, whose password is not ours to make", hint)


def password_file_empty(path: Path) -> WindlassError:
    """There is no password in the file."""
    return WindlassError(f"{path}: empty, and no vault password", "write the password into it, or delete it")


def password_in_git(path: Path) -> WindlassError:
    """Git has the vault's password."""
    hint = "type git rm --cached with it, then fab secrets rotate vault-password: git keeps the old one"
    return WindlassError(f"{path}: the vault's password is in version control", hint)


def password_not_ignored(path: Path, ignore: Path) -> WindlassError:
    """A line of .gitignore did not help."""
    return WindlassError(f"{path}: git would take the vault's password", f"correct {ignore}, or keep it elsewhere")


def single_values_sealed(path: Path) -> WindlassError:
    """Values that are encrypted one by one cannot be encrypted anew as a file can."""
    hint = "move them into vault.yml with fab secrets edit, then rotate"
    return WindlassError(f"{path}: holds single values that are encrypted (!vault)", hint)


def unreadable_inventory(where: str, reason: str) -> WindlassError:
    """Ansible could not read a file of the inventory."""
    return WindlassError(f"{where}: {reason.rstrip('.')}", "correct that file")


def hidden_variables(path: Path) -> WindlassError:
    """Ansible reads a file of variables no more once there is a folder of its name beside it."""
    folder = path.with_suffix("")
    return WindlassError(
        f"{path}: Ansible reads the folder {folder.name}/ instead of this file", f"move it to {folder}/main.yml"
    )


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


def two_ways_back() -> WindlassError:
    """Both --downgrade and --restore-snapshot."""
    return WindlassError(
        "--downgrade and --restore-snapshot exclude each other", "type one of them: fab rollback --help"
    )


def bad_count(text: str) -> WindlassError:
    """What follows `fab scale` is not NAME=COUNT."""
    name = text.partition("=")[0]
    name = name if name.replace("-", "").replace("_", "").isalnum() else "worker"
    return WindlassError(f"{text!r} is not a process and its count", f"type fab scale {name}=N, N from 0 to 100")


def no_web() -> WindlassError:
    """`fab scale web=0`."""
    return WindlassError("an app cannot do without web", "fab maintenance on shows visitors a page instead")


def scaled_unknown(name: str, known: list[str]) -> WindlassError:
    """`fab scale` names a process that the live release does not have."""
    return WindlassError(f"the live release has no process {name}", did_you_mean(name, known))


def scaled_single(name: str, count: int) -> WindlassError:
    """`fab scale scheduler=2`."""
    return WindlassError(f"{name} may never run twice at a time, so not {count}", f"leave {name} out of `single`")


def scale_not_plain(where: str, reason: str, scale: str) -> WindlassError:
    """The inventory's entry cannot be changed without an understanding of what its owner meant."""
    hint = f"write `scale: {scale}` into the app's entry there, then run ansible-playbook site.yml --tags app"
    return WindlassError(f"{where}: {reason}", hint)


def no_command() -> WindlassError:
    """`fab run` without a command."""
    return WindlassError("no command given", "type fab run 'COMMAND', with quotes around it")


# The source.


def bad_reference(version: str, where: str = "") -> WindlassError:
    """A version that is no name of a branch, tag or commit."""
    return WindlassError(
        f"{where}: version {version!r} is not a name of a branch, tag or commit".removeprefix(": "),
        "it may hold letters, digits and . _ / @ + # ~ ^ - and begins with a letter or digit",
    )


def unknown_version(version: str, repository: str, where: str, there: list[str]) -> WindlassError:
    """The repository has no such commit. `where` is the place of the key, `there` are branches and tags."""
    found = near(version, sorted(there))
    return WindlassError(
        f"{where}: no version {version!r} in {repository}".removeprefix(": "),
        f"did you mean {found}?" if found else "name a branch, tag or commit that is there; git log shows them",
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


# A plan.


def not_confirmed(question: str) -> WindlassError:
    """Something is to be confirmed, and there is no terminal."""
    return WindlassError(f"not confirmed: {question}", "there is no terminal to ask in: type --yes", Status.FAILED)


def declined() -> WindlassError:
    """The user said no."""
    return WindlassError("nothing was changed, as you said", "type --yes to go on without being asked", Status.FAILED)


def analyser_missing() -> WindlassError:
    """No squawk beside Python."""
    return WindlassError(
        "squawk, which judges migrations, is not installed",
        "run script/setup, or pip install squawk-cli",
        Status.FAILED,
    )


def analyser_failed(reason: str) -> WindlassError:
    """squawk gave no answer that can be read."""
    return WindlassError(
        f"squawk, which judges migrations, failed: {reason}", "run script/setup to install it anew", Status.FAILED
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


def _keyscan(address: str) -> str:
    """Return the command that prints the key of [HOST]:PORT or HOST."""
    if address.startswith("["):
        host, _, port = address[1:].partition("]:")
        return f"ssh-keyscan -p {port} {host}"
    return f"ssh-keyscan {address}"


# Hooks of this machine.


def laptop_hook_refused(name: str, status: int) -> WindlassError:
    """A hook before anything was begun says no."""
    return WindlassError(
        f"the hook {name} failed with status {status}; nothing was begun",
        f"mend what it says, or change `{name}` under `hooks: laptop:` of the entry",
        Status.FAILED,
    )


def hooks_failed(names: list[str]) -> WindlassError:
    """Hooks failed that could stop nothing any more."""
    return WindlassError(
        f"the new release is live, but hooks failed: {', '.join(names)}",
        "see what they printed, and run by hand what is missing",
        Status.FAILED_AFTER_SWITCH,
    )


# The server, as the laptop meets it.


def not_provisioned(host: str, reason: str) -> WindlassError:
    """The release program is not there, or may not be run."""
    return WindlassError(
        f"{host}: the release program does not run: {reason}",
        "provision the server: ansible-playbook site.yml",
        Status.FAILED,
    )


def from_server(host: str, message: str, hint: str) -> WindlassError:
    """What the release program says, with the host that says it."""
    if not message:
        message, hint = "failed, and the server does not say why", "fab status tells what runs"
    return WindlassError(f"{host}: {message}", hint, Status.FAILED)


def stopped_midway(error: WindlassError, done: list[str], release: str, previous: str) -> WindlassError:
    """One of several hosts failed after others had changed."""
    status = error.status if error.status == Status.INTERRUPTED else Status.FAILED_AFTER_SWITCH
    where = f"{', '.join(done)} {'has' if len(done) == 1 else 'have'} {release} now, the other hosts do not"
    hint = "mend it and run the same again"
    hint += f", or bring all hosts back with fab rollback --to {previous}" if previous else ""
    return WindlassError(f"{error.message}; {where}", hint, status, error.log)


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


def interrupted_too_late(host: str, release: str) -> WindlassError:
    """Ctrl-C after the switch."""
    return WindlassError(
        f"interrupted too late: {release} is live on {host}", "fab rollback goes back", Status.INTERRUPTED
    )


# The release program: what it was asked, and what it knows of the app.


def unexpected(error: Exception) -> Failure:
    """An error that nobody foresaw."""
    return Failure(
        "internal",
        f"the release program failed: {type(error).__name__}: {error}",
        "fab status tells what runs; the server's journal may say more",
    )


def wrong_protocol(spoken: int) -> Failure:
    """The laptop is of another generation than the server."""
    return Failure(
        "protocol",
        f"this server speaks protocol {spoken}",
        "bring both sides to one version: run ansible-playbook site.yml from this checkout",
    )


def bad_request(what: str) -> Failure:
    """A request that this program does not take."""
    return Failure(
        "bad-request",
        f"the request {what}",
        "the client and the server do not fit each other: run ansible-playbook site.yml from this checkout",
    )


def key_of_another_app(app: str, asked: str) -> Failure:
    """The key of a pipeline was used for another app."""
    hint = f"put it in `deploy_keys` of {asked}, or use that app's own key"
    return Failure("not-allowed", f"this key may only deploy {app}, not {asked}", hint)


def key_only_deploys(app: str, action: str) -> Failure:
    """The key of a pipeline was used for something else than a deploy."""
    hint = "do that with a key of base_deploy_keys"
    return Failure("not-allowed", f"this key may only deploy {app}; {action} is not for pipelines", hint)


def app_not_here(app: str) -> Failure:
    """The app was never provisioned on this server."""
    return Failure("unknown-app", f"no app {app} on this server", "run ansible-playbook site.yml first")


def settings_unreadable(path: Path, reason: str) -> Failure:
    """The file that the `app` role wrote is damaged."""
    return Failure("settings", f"{path} cannot be read: {reason}", _WRITE_SETTINGS)


def setting_of_wrong_kind(key: str, kind: str, value: str) -> Failure:
    """A key of the settings holds something else than it may."""
    return Failure("settings", f"the app's {key} must be {kind}: {value}", _WRITE_SETTINGS)


def settings_incomplete() -> Failure:
    """The settings lack what every app has."""
    return Failure("settings", "the app's settings lack name or domains", _WRITE_SETTINGS)


def settings_refused(names: list[str]) -> Failure:
    """A name in the settings could lead out of the app's folders."""
    return Failure("settings", f"the app's settings hold a name that is refused: {names}", _WRITE_SETTINGS)


def env_file_unreadable(path: Path, reason: str) -> Failure:
    """The app's settings file cannot be opened."""
    return Failure("settings", f"{path} cannot be read: {reason}", "run ansible-playbook site.yml: it writes it anew")


def env_file_damaged(line: int) -> Failure:
    """A line of the app's settings file is of another form."""
    return Failure(
        "settings",
        f"line {line} of the app's settings file is not KEY='value'",
        "run ansible-playbook site.yml: it writes the file anew",
    )


# Before a release: the lock, the checks, the upload.


def locked(held: dict[str, object]) -> Failure:
    """Somebody else deploys this app."""
    return Failure("locked", _holder(held), "wait until it is done, or type --wait", lock=held)


def _holder(held: dict[str, object]) -> str:
    """Return who has the lock, since when and for what."""
    phase = "done but for the end of the web before it" if held.get("told") else f"phase {held.get('phase', 'check')}"
    return (
        f"{held.get('by', 'somebody')} has the lock since {held.get('since', 'a moment ago')}: "
        f"{held.get('action', 'deploy')} of {held.get('version') or 'an earlier release'}, "
        f"{phase}"
    )


def check_failed(name: str, message: str, hint: str) -> Failure:
    """A check before a release says no, in its own words."""
    return Failure("check-failed", f"{name}: {message}", hint)


def disk_short(free_mb: int) -> Failure:
    """The disk has no room for one more release."""
    return Failure("disk", f"{free_mb} MB free", "remove what is not needed on the server's disk")


def inodes_short(free: int) -> Failure:
    """The file system takes hardly any more files."""
    return Failure("inodes", f"{free} free", "remove files that are not needed on the server's disk")


def user_missing(name: str) -> Failure:
    """A unix user of the app does not exist."""
    return Failure("settings", f"there is no user {name}", _PROVISION)


def uv_missing(path: Path) -> Failure:
    """uv is not installed."""
    return Failure("uv", f"{path} is missing", _PROVISION)


def python_missing(path: Path) -> Failure:
    """Debian's Python is not there."""
    return Failure("python", f"{path} is missing", _PROVISION)


def service_silent(name: str, where: str, reason: str) -> Failure:
    """A service that the app needs takes no connection."""
    unit = name if name in ("nginx", "supervisor") else f"{name}*"
    return Failure(
        name, f"{name} does not answer at {where} ({reason})", f"run `systemctl status '{unit}'` on the server"
    )


def upload_cut() -> Failure:
    """The client went away before the archive was whole."""
    return Failure("upload-failed", "the connection ended during the upload", "deploy again")


def upload_damaged() -> Failure:
    """The archive has another digest than announced."""
    return Failure("upload-failed", "the archive arrived damaged", "deploy again")


def upload_not_stored(reason: str) -> Failure:
    """The archive finds no room."""
    return Failure(
        "upload-failed",
        f"the archive cannot be stored on the server: {reason}",
        "remove what is not needed on the server's disk and deploy again",
    )


# What a release is built from.


def archive_unreadable(reason: str) -> Failure:
    """tar cannot read what was uploaded."""
    return Failure(
        "build-failed", f"the archive cannot be unpacked: {reason}", "deploy again; see the disk with fab check"
    )


def folder_not_in_commit(directory: str) -> Failure:
    """The commit has no such folder."""
    return Failure(
        "no-directory", f"the folder {directory} is not in the commit", "correct `directory` in the app's entry"
    )


def requirements_not_in_commit(name: str) -> Failure:
    """The file that `requirements` names is not there."""
    return Failure(
        "no-requirements",
        f"the requirements file {name} is not in the commit",
        "correct `requirements` in the app's entry, or commit the file",
    )


def no_requirements() -> Failure:
    """Nothing says what the app needs."""
    return Failure(
        "no-requirements",
        "nothing says which packages the app needs: no uv.lock, requirements.txt or pyproject.toml",
        "add a requirements.txt, or name it with `requirements` (its folder with `directory`) in the entry",
    )


def environment_not_made(reason: str) -> Failure:
    """uv makes no virtual environment."""
    hint = 'name another one in the entry, as `python: "3.13"`'
    return Failure("build-failed", f"making the environment failed: {reason}", hint)


def packages_not_installed(reason: str, kind: str, source: str) -> Failure:
    """uv installs nothing; `kind` is what says which packages: lock, requirements or project."""
    compiled = "what has to be compiled may need `packages:` in the entry"
    hint = f"correct {source}; {compiled}"
    if kind == "lock":
        hint = "run `uv lock` and `uv sync --locked --no-dev` on your machine, and commit uv.lock"
    return Failure("build-failed", f"installing the packages failed: {reason}", hint)


def gunicorn_not_installed(reason: str) -> Failure:
    """The app has no gunicorn of its own, and it could not be added."""
    return Failure("build-failed", f"installing gunicorn failed: {reason}", "add gunicorn to the app's own packages")


def build_command_failed(reason: str) -> Failure:
    """The entry's `build` ended with an error."""
    return Failure(
        "build-failed",
        f"the app's build command failed: {reason}",
        "run it on your machine: `build` of the entry",
    )


def env_file_not_linked(reason: str) -> Failure:
    """`.env` cannot be put into the release."""
    return Failure("build-failed", f"linking .env failed: {reason}", "commit nothing named .env, and deploy again")


def shared_outside(name: str) -> Failure:
    """A folder of `shared` leads out of the app."""
    return Failure(
        "settings", f"the shared folder {name} is outside the app", "name a folder of the app in `shared` of its entry"
    )


def shared_not_made(path: Path) -> Failure:
    """A shared folder cannot be filled with what the commit ships."""
    return Failure(
        "build-failed", f"the shared folder {path} cannot be made", "see whose it is on the server, and deploy again"
    )


def shared_replaced(name: str) -> Failure:
    """After the build a shared folder is one of the release."""
    return Failure(
        "build-failed",
        f"the app's build command put something of its own in the place of the shared folder {name}",
        "have `build` of the entry write elsewhere, or take the folder out of `shared`",
    )


def shared_not_linked(name: str, reason: str) -> Failure:
    """A shared folder cannot be put into the release."""
    return Failure(
        "build-failed",
        f"linking the shared folder {name} failed: {reason}",
        "commit no file of that name, or correct `shared` in the app's entry",
    )


# Processes and their commands.


def procfile_unreadable(reason: str) -> Failure:
    """The Procfile is no plain file."""
    return Failure("procfile", f"the Procfile cannot be read: {reason}", "commit it as a file")


def procfile_line(number: int, line: str) -> Failure:
    """A line of the Procfile is of another form."""
    return Failure(
        "procfile", f"line {number} of the Procfile is not `name: command`: {line[:80]}", "correct it and commit"
    )


def process_name_taken(name: str) -> Failure:
    """A process is named like a colour of `web`."""
    return Failure("procfile", f"a process may not be named {name}: it is what runs `web`", "give it another name")


def no_web_process(folders: list[str]) -> Failure:
    """Nothing says how the app is started; its Procfile may be in one of these folders."""
    hint = "add `wsgi: module:callable` to the app's entry, or a Procfile to its repository"
    if folders:
        hint = f"add `directory: {folders[0]}` to the app's entry: there is a Procfile in {', '.join(folders)}"
    return Failure(
        "no-web-process",
        "nothing says how to start the app: no Procfile with a `web:` line, no `wsgi`, no `processes`",
        hint,
    )


def web_command_unknown(command: str, servers: list[str]) -> Failure:
    """The web command cannot be put on a socket."""
    return Failure(
        "web-command",
        f"the web command names no server that can be put on a socket: {command[:120]}",
        f"start it with one of {', '.join(servers)}, or let it listen on the path in $SOCKET",
    )


def no_such_process(name: str) -> Failure:
    """Supervisor starts a process that the release does not have."""
    return Failure("no-process", f"the release has no process named {name}", "fab deploy writes the processes anew")


# A plan, on the server.


def database_ahead(applied: list[str]) -> Failure:
    """The database has migrations that the version to release lacks."""
    return Failure(
        "database-ahead",
        f"the database has {', '.join(applied)}, which this version does not know",
        "release a version that has it",
    )


def plan_overtaken() -> Failure:
    """Another release went live while the plan was made."""
    return Failure("plan-overtaken", "another release went live while the plan was made", "run fab plan again")


# From the built release to the visitors.


def release_command_failed(status: int, because: str, denied: str = "") -> Failure:
    """The app's release command ended with an error; `because` is empty or begins with a colon.

    `denied` is the user that it ran as, where that user was refused something.
    """
    said = f"the release command failed with status {status}{because}"
    if denied:
        one = "write `database_roles: one` in the entry and run ansible-playbook site.yml"
        return Failure("release-failed", said, f"it runs as {denied}: see docs/apps.md, Two roles; or {one}")
    return Failure("release-failed", said, _SEE_LOG)


def hook_failed(name: str, status: int, because: str) -> Failure:
    """A hook of the entry ended with an error; `because` is empty or begins with a colon."""
    hint = f"correct `{name}` under `hooks: server:` of the entry, run ansible-playbook site.yml and try again"
    return Failure("hook-failed", f"the hook {name} failed with status {status}{because}", hint)


def hook_too_slow(name: str, seconds: int) -> Failure:
    """A hook of the entry did not end by itself."""
    hint = f"let `{name}` under `hooks: server:` of the entry start what is slow in the background"
    return Failure("hook-failed", f"the hook {name} had not ended after {seconds} s and was stopped", hint)


def start_failed(said: str) -> Failure:
    """The new web process ended by itself; `said` is Supervisor's word, perhaps empty."""
    more = f" ({said})" if said else ""
    hint = "nothing changed for visitors: mend it and deploy again"
    return Failure("start-failed", f"the new release ended while it started{more}", hint)


def probe_answered(path: str, status: int) -> Failure:
    """The health path answers with an error."""
    hint = f"{_SEE_LOG}, or write another `health_path` in the app's entry and run ansible-playbook site.yml --tags app"
    return Failure("probe-failed", f"the health path {path} answered {status}", hint)


def probe_silent(answer: str, seconds: int, path: str) -> Failure:
    """The health path is not answered; `answer` says how."""
    return Failure("probe-failed", f"the app {answer} within {seconds} s (asked for {path})", _SEE_LOG)


def wrong_release(pids: list[int], release: str) -> Failure:
    """Processes of another release sit behind the new socket."""
    return Failure(
        "wrong-release",
        f"processes {pids} behind the new socket are not of release {release}",
        "end them on the server and deploy again",
    )


def front_failed(url: str, answer: str) -> Failure:
    """nginx does not pass visitors on to the new release."""
    return Failure(
        "front-failed", f"through nginx, {url} {answer}; switched back", "run `systemctl status nginx` on the server"
    )


def process_ended(name: str) -> Failure:
    """A process beside `web` does not stay up."""
    return Failure("worker-failed", f"the process {name} ended as it started", "see the log, mend it and deploy again")


def processes_not_up() -> Failure:
    """The processes beside `web` are not of the new release."""
    return Failure(
        "worker-failed",
        "the other processes did not come up with the new release",
        "fab status tells what runs; see the log, mend it and deploy again",
    )


def unknown_process(name: str, known: list[str]) -> Failure:
    """A process that the live release does not have is to be scaled."""
    return Failure("unknown-process", f"the live release has no process {name}", did_you_mean(name, known))


def no_such_job(name: str, known: list[str]) -> Failure:
    """`windlass cron` was given a name that is not in the app's `cron`."""
    return Failure("no-job", f"nothing is scheduled under the name {name}", did_you_mean(name, known))


def program_name_taken(name: str, process: str) -> Failure:
    """Supervisor has a program of that name, of another app."""
    return Failure(
        "name-taken",
        f"another app's program is named {name} in Supervisor already",
        f"give the process {process} another name",
    )


def supervisor_not_running(state: str) -> Failure:
    """Supervisor is starting or stopping."""
    return Failure("supervisor", f"Supervisor is {state}", "try again when it runs")


def supervisor_silent(path: Path, reason: str) -> Failure:
    """Supervisor's socket is not answered."""
    return Failure(
        "supervisor",
        f"Supervisor does not answer on {path}: {reason}",
        "run `systemctl status supervisor` on the server",
    )


def supervisor_refused(method: str, reason: str, unread: bool) -> Failure:
    """Supervisor does not do what it is told; `unread`: it cannot read its configuration."""
    hint = "run `supervisorctl reread` on the server" if unread else "run `supervisorctl status` on the server"
    return Failure("supervisor", f"Supervisor refused {method}: {reason}", hint)


def process_not_stopped(name: str, pid: int) -> Failure:
    """A process outlives even SIGKILL."""
    return Failure(
        "supervisor", f"{name} (pid {pid}) cannot be stopped", f"run `ps -o stat,wchan -p {pid}` on the server"
    )


def shutting_down() -> Failure:
    """The release program was told to end."""
    return Failure(
        "interrupted",
        "the server is shutting down, or somebody ended the deploy",
        "fab status tells what runs; deploy again",
    )


def cancelled() -> Failure:
    """Whoever asked for the work wants it back, by Ctrl-C."""
    return Failure(
        "cancelled", "interrupted, and taken back: visitors have what they had", "fab status tells what runs"
    )


def program_ended() -> Failure:
    """The release program was killed."""
    return Failure("interrupted", "the release program ended before its work was done", "deploy again")


# The database: migrations, copies, and the ways back over a migration.


def database_refused(reason: str) -> Failure:
    """PostgreSQL says no to one of our own questions."""
    return Failure("database", f"PostgreSQL refused: {reason}", "run `journalctl -u 'postgresql@*'` on its server")


def migrations_unread(reason: str) -> Failure:
    """The app's tool does not say which migrations there are."""
    return Failure(
        "migrations-unread",
        f"the migrations cannot be read: {reason}",
        "try it on the server with fab run; `migrations: none` in the app's entry has nobody look at them",
    )


def snapshot_failed(reason: str) -> Failure:
    """No copy of the database, so no migration either."""
    return Failure("snapshot-failed", f"the database could not be copied: {_bare(reason)}", _NO_SNAPSHOT)


def snapshot_unreadable(reason: str) -> Failure:
    """The copy was made and is none."""
    return Failure("snapshot-failed", f"the copy of the database cannot be read: {_bare(reason)}", _NO_SNAPSHOT)


def snapshot_too_large(needed: int, folder: Path, free: int) -> Failure:
    """The disk is too full for a copy."""
    said = f"a copy of the database may need {needed} MB in {folder}, where {free} MB are free"
    return Failure("snapshot-failed", said, _NO_SNAPSHOT)


def lock_timeout(tries: int, seconds: int, holder: str, pid: str) -> Failure:
    """A migration gave up waiting for a lock."""
    end = f"sudo -u postgres psql -c 'SELECT pg_terminate_backend({pid or 'PID'})'"
    return Failure(
        "lock-timeout",
        f"{tries} times a migration waited {seconds} s for a lock of the database in vain{_held_by(holder)}",
        f"nothing changed for visitors: wait for that query, or end it with {end}, and do this again",
    )


def _held_by(holder: str) -> str:
    return f", held by {holder}" if holder else ""


def _bare(reason: str) -> str:
    return " ".join(reason.split()).rstrip(".;,")


def migrations_differ(release: str, wanted: list[str], found: list[str]) -> Failure:
    """The release wanted ran with an older schema."""
    return Failure(
        "migrations-differ",
        f"{release} ran with the database at {_heads(wanted)}, which is at {_heads(found)} now",
        "type fab rollback --downgrade to undo those migrations, or --restore-snapshot for the copy from before them",
    )


def migrated_by_hand(found: list[str], live: list[str], release: str, wanted: list[str]) -> Failure:
    """The database is where neither release left it."""
    said = f"the database is at {_heads(found)}, but the live release left it at {_heads(live)}"
    return Failure(
        "migrations-differ",
        f"{said} and {release} needs {_heads(wanted)}: somebody migrated by hand, or a failed release did",
        "bring it to one of these with fab run, or type fab rollback --downgrade or --restore-snapshot",
    )


def head_unknown(release: str, reason: str) -> Failure:
    """Nobody wrote down, and nobody can find out, which schema a release needs."""
    return Failure(
        "migrations-differ",
        f"which migrations {release} needs is not recorded and cannot be read: {_bare(reason)}",
        "deploy that version again instead: fab deploy --version; or set `migrations: none` in the app's entry",
    )


def needs_newer_migrations(release: str, wanted: list[str], found: list[str]) -> Failure:
    """The release wanted is newer than the live one, and so is its schema."""
    return Failure(
        "migrations-differ",
        f"{release} needs the database at {_heads(wanted)}, which is at {_heads(found)} now",
        "deploy that version again instead, which runs its migrations: fab deploy --version",
    )


def downgrade_impossible(stuck: list[str]) -> Failure:
    """A migration has no way back."""
    return Failure(
        "downgrade-impossible",
        f"nothing was changed: there is no way back over {_heads(stuck)}",
        "type fab rollback --restore-snapshot for the copy from before, or write its downgrade and deploy that",
    )


def downgrade_failed(reason: str) -> Failure:
    """A downgrade was tried, and undone."""
    return Failure(
        "downgrade-failed",
        f"the downgrade failed, and the database is as it was: {_bare(reason)}",
        "see the log; fab rollback --restore-snapshot takes the copy from before those migrations",
    )


def downgrade_left_apart(found: list[str], live: list[str], reason: str) -> Failure:
    """A downgrade failed and could not be undone."""
    where = f"with the database at {_heads(found)} and the live release at {_heads(live)}"
    return Failure(
        "downgrade-failed",
        f"the downgrade failed, {where}: {_bare(reason)}",
        "bring it back with fab run and the app's own upgrade command",
    )


def no_snapshot(release: str, why: str) -> Failure:
    """There is no copy that fits the release wanted."""
    return Failure(
        "no-snapshot",
        f"there is no copy of the database as {release} left it: {_bare(why)}",
        "fab releases shows which copies there are; fab rollback --downgrade needs none",
    )


def restore_unconfirmed(loss: str) -> Failure:
    """What a restored copy costs has to be agreed to."""
    return Failure(
        "confirm-restore",
        f"restoring the copy takes away {loss}",
        "type fab rollback --restore-snapshot --yes to do that",
    )


def restore_elsewhere(name: str) -> Failure:
    """The database's server is another one, where the app's role may make no database."""
    return Failure(
        "restore-elsewhere",
        f"the copy cannot be restored from here: the role of {name} may not make a database on its server",
        "docs/releases.md, Going back, has the commands for the database's server",
    )


def restore_failed(reason: str) -> Failure:
    """The copy could not be restored; the live database was not touched."""
    return Failure(
        "restore-failed",
        f"the copy could not be restored, and the database is as it was: {_bare(reason)}",
        "see the database's log on its server, or type fab rollback --downgrade",
    )


def _heads(names: list[str]) -> str:
    return ", ".join(names) or "no migration"


# After the switch.


def disk_full(path: str) -> Failure:
    """The disk filled up at work."""
    return Failure("disk-full", f"the server's disk is full: {path} cannot be written", "make room there, see df -h")


def not_ready(release: str) -> Failure:
    """The release that was kept ready is not well."""
    return Failure("not-ready", f"{release} is not well either", "see fab logs, mend it and deploy again")


def switched_back(release: str, reason: str, old: str) -> Failure:
    """The watch found a release failing and put the one before it in front again."""
    failure = Failure(
        "switched-back", f"{release}: {reason}; visitors are back on {old}", "see fab logs, mend it and deploy again"
    )
    failure.switched = True
    return failure


def not_switched_back(release: str, reason: str, old: str, why: str) -> Failure:
    """The watch found a release failing, and the one before it could not take over."""
    failure = Failure(
        "not-switched-back",
        f"{release}: {reason}, and {old} could not take over: {why}",
        "visitors still have the new release: see fab logs, then fab rollback or deploy a mended version",
    )
    failure.switched = True
    return failure


# Releases that are there, and logs.


def not_deployed() -> Failure:
    """The app has no release."""
    return Failure("not-deployed", "the app has no release yet", "run fab deploy first")


def release_from_the_future(release: str) -> Failure:
    """The name that was asked for is far ahead of this server's clock."""
    return Failure(
        "release-from-the-future",
        f"release {release} is more than a day ahead of this server's clock",
        "set the clocks of the servers (timedatectl), then run fab deploy again",
    )


def nothing_to_roll_back_to(live: str) -> Failure:
    """No good release is older than the live one."""
    return Failure("nothing-to-roll-back", f"there is no good release older than {live}", "see fab releases")


def already_live(release: str) -> Failure:
    """The release is what visitors have."""
    return Failure("already-live", f"{release} is live already", "see fab releases")


def release_not_usable(release: str, status: str) -> Failure:
    """No rollback goes to that release; `status` is what the history says of it, empty for nothing."""
    known = {"": "is no release of this app", "bad": "is marked bad", "failed": "failed"}
    return Failure("no-such-release", f"{release} {known.get(status, 'is no longer here')}", "see fab releases")


def no_log() -> Failure:
    """There is no log yet."""
    return Failure("no-log", "the app has printed nothing yet", "run fab status")


# Notes: what is told on the way, and changes no exit status.


def note_taking_back() -> str:
    """Ctrl-C while the server works."""
    return "interrupted: the server is asked to take it back; Ctrl-C once more leaves it alone"


def note_entry_differs(app: str, host: str, keys: list[str]) -> str:
    """The inventory was changed, and the server not provisioned."""
    return f"the entry of {app} differs from what {host} has ({', '.join(keys)}); run ansible-playbook site.yml"


def note_nothing_to_restart() -> str:
    """A restart of an app that was never released."""
    return "the app has no release yet: nothing to restart"


def note_waiting(held: dict[str, object]) -> str:
    """The lock is waited for, as `--wait` asks."""
    return f"waiting: {_holder(held)}"


def note_hook_failed(name: str, status: int) -> str:
    """A hook of this machine failed while the server went on."""
    return f"the hook {name} failed with status {status}; the server goes on"


def note_notice_failed(wrong: str) -> str:
    """A notice did not go out; `wrong` says by which way and why."""
    return f"the last notice of a release was not sent by {wrong}"


def note_no_lines_of(process: str, known: list[str]) -> str:
    """The log holds nothing of that process; `known` are those of which it has lines."""
    hint = f"it has lines of {', '.join(known)}" if known else "write it as in the Procfile, such as web or worker"
    return f"the log has no line of {process}; {hint}"


def note_watched(release: str, old: str, seconds: int) -> str:
    """A release is live, and watched."""
    return f"{release} is watched for {seconds} s; {old} is kept ready until then, and takes over if it fails"


def note_requests_cut(seconds: int) -> str:
    """The old release is stopped although requests still wait for it."""
    return f"requests still waited for the old release after {seconds} s; it is stopped now"


def note_migrations_not_looked_at(reason: str) -> str:
    """The app's migrations are a riddle; the deploy goes on."""
    return f"which migrations are pending could not be found out: {_bare(reason)}"


def note_no_snapshot() -> str:
    """Migrations are pending, and there is no way to copy the database."""
    return (
        "no copy of the database is taken: DATABASE_URL names no PostgreSQL, or psql is missing (provision the server)"
    )


def note_head_not_recorded(reason: str) -> str:
    """A later rollback will not know what this release needs."""
    return f"the head of the migrations could not be recorded: {_bare(reason)}"


def note_lock_tried_again(seconds: int, holder: str, pause: float) -> str:
    """A migration waited in vain and will be tried again."""
    return f"a migration waited {seconds} s for a lock of the database{_held_by(holder)}; tried again in {pause:.0f} s"


def left_in_the_database(names: list[str]) -> str:
    """The end of a sentence about a release command that failed half way."""
    return f"; done before it failed, and left in the database: {_heads(names)}"


def note_jobs_in_hand(processes: list[str], seconds: int) -> str:
    """Processes are stopped, and have not ended yet."""
    return f"{' and '.join(processes)} may take up to {seconds} s to finish the job in hand"


# Notices: the headline of what is sent by mail and webhook after a release.


def notice_live(app: str, action: str, version: str, release: str) -> str:
    """A deploy or a rollback went well."""
    how = "rolled back to" if action == "rollback" else "deployed"
    return f"{app}: {how} {version or release}"


def notice_failed(app: str, action: str, version: str, phase: str, switched: bool) -> str:
    """A deploy or a rollback did not go well."""
    what = "visitors have the new release" if switched else "nothing changed for visitors"
    where = f" in {phase}" if phase else ""
    return f"{app}: {action} of {version} FAILED{where}; {what}"


def notice_switched_back(app: str, bad: str, back_to: str) -> str:
    """The watch after a release found it bad."""
    return f"{app}: SWITCHED BACK to {back_to}; {bad} is marked bad"


def notice_not_switched_back(app: str, bad: str, back_to: str) -> str:
    """The watch after a release found it bad, and there is no way back by itself."""
    return f"{app}: {bad} FAILS, and {back_to} could not take over"


def note_head_read(release: str, head: list[str]) -> str:
    """A release from before heads were recorded: its code tells."""
    return f"which migrations {release} ran with is not recorded; its code needs {_heads(head)}, which is there"


def note_requests_went_on(seconds: float) -> str:
    """Some connection to the app stayed open."""
    return f"connections to the app were still open after {seconds:.0f} s; it goes on without waiting for them"


def note_undoing(names: list[str]) -> str:
    """What a downgrade takes back."""
    return f"undoing {_heads(names)}; visitors get the maintenance page until the older release serves"


def note_copy_kept(path: Path) -> str:
    """Where what a downgrade takes away can be found."""
    return f"the database as it was before the downgrade is in {path}"


def note_restoring(loss: str) -> str:
    """What a restore takes away, agreed to."""
    return f"restoring the copy takes away {loss}"


def note_database_kept(kept: str, name: str) -> str:
    """Where the database from before a restore is."""
    return f"the database {name} as it was is kept as {kept}; when nobody misses it: sudo -u postgres dropdb {kept}"


def what_a_restore_loses(taken: str, minutes: float, rows: str) -> str:
    """What was written since a copy was taken."""
    span = f"{minutes:.0f} minutes" if minutes >= 2 else f"{minutes * 60:.0f} seconds"
    return f"everything written in the {span} since {taken}" + (f" ({rows})" if rows else "")


def note_still_closed(app: str, host: str, reason: str) -> str:
    """A server was not reached to open it again."""
    return f"{host} still shows the maintenance page ({reason}): type fab maintenance off --app {app}"


def note_job_without_release(name: str) -> str:
    """A scheduled command was due before the first deploy."""
    return f"{name} was due, but the app has no release yet"


def note_job_runs_already(name: str) -> str:
    """A scheduled command was to start a second time."""
    return f"{name} still runs: it is not started a second time"


def note_job_stopped(name: str) -> str:
    """Somebody stopped the service of a scheduled command."""
    return f"{name} was stopped before it was done"


def note_job_not_started(name: str, reason: str) -> str:
    """A scheduled command could not be started."""
    return f"{name} could not be started: {_bare(reason)}"


def note_job_timed_out(name: str, seconds: int) -> str:
    """A scheduled command took longer than its `timeout`."""
    return f"{name} was ended after {seconds} s, its timeout"


def note_job_failed(name: str, status: int) -> str:
    """A scheduled command ended with a status."""
    return f"{name} failed with status {status}" if status > 0 else f"{name} was ended by signal {-status}"


def note_job_well_again(name: str) -> str:
    """A scheduled command that failed before did not fail."""
    return f"{name} is well again"


def note_env_counts_workers() -> str:
    """`fab scale web=3` of an app whose settings count the workers themselves."""
    return "`env` sets WEB_CONCURRENCY, which wins over the count of web"
