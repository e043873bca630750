"""`fab secrets`: made, edited and renewed without a secret in an argument, in the output or in a plain file."""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret

from tests.support.fab import Outcome
from tests.support.repository import ROOT
from windlass import inventory
from windlass.secrets import verbs

BIN = ROOT / ".venv" / "bin"
HOSTS = """\
all:
  children:
    app: {hosts: {web1: {ansible_host: 192.0.2.1}}}
    web: {hosts: {web1: {}}}
"""
MAIN = """\
admin_email: ann@example.com
base_admin_keys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHhFBnkNSjVLbOrUKmsmZGjrKNnHXsCkRPTiHzFNIFmz ann"]
apps:
  - name: guestbook
    domains: [guestbook.example.com]
    repository: ../guestbook
    env:
      SECRET_KEY: "{{ vault_key }}"
      SECRET_KEY_FALLBACKS: "{{ vault_key_fallbacks }}"
      STRIPE_SECRET_KEY: "{{ vault_stripe }}"
      PEPPER_SALT: "{{ vault_salt }}"
    notify: {webhook: "{{ vault_webhook }}"}
"""


class Place:
    """An inventory, the home of who works with it, and `fab` started there."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.path = folder / "ops" / "production"
        self.vault = self.path / "group_vars" / "all" / "vault.yml"
        self.password = self.home / ".config" / "windlass" / "production"
        (self.path / "group_vars" / "all").mkdir(parents=True)
        self.home.mkdir()
        (self.path / "hosts.yml").write_text(HOSTS)
        (self.path / "group_vars" / "all" / "main.yml").write_text(MAIN)
        self.told: Path | None = self.password
        self.program = "false"

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        more = {"HOME": str(self.home), "XDG_CONFIG_HOME": "", "VISUAL": "", "EDITOR": self.program}
        return kept | more | {"ANSIBLE_VAULT_PASSWORD_FILE": str(self.told)}

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the program itself; the other tests call the verb."""
        command = [str(BIN / "fab"), "secrets", *arguments, "--env", str(self.path)]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command, cwd=ROOT, env=self.environment(), stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
        )

    def __call__(self, action: str, name: str = "", *, forget: bool = False) -> Outcome:
        with pytest.MonkeyPatch.context() as patch:
            inventory.configure()
            patch.setattr("ansible.constants.DEFAULT_VAULT_PASSWORD_FILE", self.told and str(self.told))
            for variable in ("HOME", "XDG_CONFIG_HOME", "VISUAL", "EDITOR"):
                patch.setenv(variable, self.environment()[variable])
            patch.setattr("sys.stdin", io.StringIO())
            output, errors = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
                status = verbs.secrets(action, name, str(self.path), forget)
        return Outcome(status, output.getvalue(), errors.getvalue())

    def succeed(self, *arguments: str, forget: bool = False) -> Outcome:
        outcome = self(*arguments, forget=forget)
        assert outcome.status == 0, outcome.everything
        assert not [value for value in self.values().values() if value and value in outcome.everything]
        return outcome

    def refused(self, *arguments: str) -> str:
        """Return the one line of a verb that says no, having changed nothing."""
        before = {path: path.read_bytes() for path in self.path.rglob("*") if path.is_file()}
        outcome = self(*arguments)
        assert outcome.status == 2, outcome.everything
        assert {path: path.read_bytes() for path in self.path.rglob("*") if path.is_file()} == before
        assert outcome.output == ""
        (line,) = outcome.errors.splitlines()
        return line

    def ansible_vault(self, *arguments: str) -> str:
        command = [str(BIN / "ansible-vault"), *arguments]
        done = subprocess.run(command, env=self.environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def seal(self, path: Path, text: str, password: str = "") -> None:
        """Write an encrypted file as ansible-vault would."""
        secret = VaultSecret((password or self.password.read_text().strip()).encode())
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(VaultLib().encrypt(text, secret=secret))

    def opened(self, path: Path) -> str:
        """Return what is in an encrypted file."""
        secret = VaultSecret(self.password.read_text().strip().encode())
        return VaultLib([("default", secret)]).decrypt(path.read_bytes()).decode()

    def text(self) -> str:
        return self.opened(self.vault)

    def values(self) -> dict[str, str]:
        return yaml.safe_load(self.text())

    def editor(self, script: str) -> None:
        """Make a program the editor; `$1` is the file."""
        path = self.home / "editor"
        path.write_text(f"#!/bin/sh\nset -eu\n{script}\n")
        path.chmod(0o755)
        self.program = str(path)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.fixture
def made(place: Place) -> Place:
    place.succeed("init")
    return place


def test_init_makes_what_the_inventory_needs_and_names_what_only_its_owner_knows(place: Place):
    said = place.succeed("init").output
    values = place.values()
    assert set(values) == {"vault_key", "vault_key_fallbacks", "vault_salt"}
    assert values["vault_key_fallbacks"] == ""
    assert all(re.fullmatch(r"[\w-]{64}", values[name]) for name in ("vault_key", "vault_salt"))
    assert values["vault_key"] != values["vault_salt"]
    for name in ("vault_stripe", "vault_webhook"):
        assert f"{name} has no value yet" in said
        assert f"# {name}: " in place.text()
    for path, mode in ((place.password, 0o600), (place.vault, 0o600), (place.password.parent, 0o700)):
        assert stat.S_IMODE(path.stat().st_mode) == mode, path
    assert len(place.password.read_text().strip()) == 64


def test_init_does_not_hide_a_file_of_variables_behind_the_folder_of_the_vault(place: Place):
    folder = place.path / "group_vars" / "all"
    for path in folder.iterdir():
        path.rename(folder.with_suffix(".yml"))
    folder.rmdir()
    said = f"all.yml: Ansible reads the folder all/ instead of this file; move it to {folder}/main.yml"
    assert said in place.refused("init")


def test_init_makes_nothing_that_has_a_value_in_another_file(place: Place):
    (place.path / "group_vars" / "all" / "secrets.yml").write_text("vault_key: in-use\n")
    place.succeed("init")
    assert set(place.values()) == {"vault_key_fallbacks", "vault_salt"}


def test_init_again_changes_nothing_and_fills_what_was_added(made: Place):
    before, password, sealed = made.values(), made.password.read_text(), made.vault.read_bytes()
    made.succeed("init")
    assert made.vault.read_bytes() == sealed
    main = made.path / "group_vars" / "all" / "main.yml"
    main.write_text(MAIN.replace("    notify:", '      WTF_CSRF_SECRET_KEY: "{{ vault_forms }}"\n    notify:'))
    assert "made vault_forms" in made.succeed("init").output
    after = made.values()
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {"vault_forms"}
    assert made.password.read_text() == password


def test_without_a_configured_file_init_says_how_both_programs_find_the_password(place: Place):
    place.told = None
    said = place.succeed("init").output
    assert f"export ANSIBLE_VAULT_PASSWORD_FILE={place.password}" in said


@pytest.mark.parametrize("action", [("init",), ("edit",), ("rotate", "vault_key"), ("rotate", "vault-password")])
def test_a_vault_that_is_not_encrypted_is_refused(made: Place, action: tuple[str, ...]):
    made.vault.write_text("vault_key: hunter2\n")
    line = made.refused(*action)
    assert "vault.yml: not encrypted; type ansible-vault encrypt" in line
    assert "hunter2" not in line


@pytest.mark.parametrize("action", [("init",), ("edit",), ("rotate", "vault_key")])
def test_a_wrong_password_is_one_line_without_it(made: Place, action: tuple[str, ...]):
    made.password.write_text("wrong-hunter2\n")
    line = made.refused(*action)
    assert "vault.yml: the vault password is wrong" in line
    assert "hunter2" not in line
    made.told = None
    assert "encrypted, and no vault password was given" in made.refused(*action)


def test_a_password_in_a_work_tree_is_ignored_by_git_and_refused_when_git_has_it(place: Place):
    top = place.path.parent
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.com"]
    subprocess.run([*git, "init", "-q"], cwd=top, check=True)
    inside = place.path / "vault-password"
    place.told = place.password = inside
    assert ".gitignore: /production/vault-password* added" in place.succeed("init").output
    subprocess.run([*git, "add", "-A"], cwd=top, check=True)
    listed = subprocess.run([*git, "ls-files"], cwd=top, check=True, capture_output=True, text=True).stdout.split()
    assert "production/group_vars/all/vault.yml" in listed
    assert "production/vault-password" not in listed
    subprocess.run([*git, "add", "-f", str(inside)], cwd=top, check=True)
    assert "is in version control" in place.refused("rotate", "vault-password")
    place.vault.unlink()
    assert "is in version control" in place.refused("init")


def test_a_password_file_that_others_may_read_is_refused(place: Place):
    place.password.parent.mkdir(parents=True)
    place.password.write_text("a\n")
    place.password.chmod(0o644)
    assert "others may read the vault's password (mode 0644); type chmod 600" in place.refused("init")


def test_edit_opens_the_plain_text_for_its_owner_alone_and_saves_it_encrypted(made: Place):
    seen = made.home / "seen"
    made.editor(
        f'stat -c "%a %n" "$1" > {seen}; stat -c %a "$(dirname "$1")" >> {seen}\n'
        'echo \'vault_stripe: "sk $x \'"\'"\'ä"\' >> "$1"'
    )
    before = made.values()
    made.succeed("edit")
    assert made.values() == {**before, "vault_stripe": "sk $x 'ä"}
    mode_and_name, folder_mode = seen.read_text().splitlines()
    assert (mode_and_name.split()[0], folder_mode) == ("600", "700")
    assert not Path(mode_and_name.split()[1]).parent.exists()
    assert "# vault_webhook" in made.text()


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'key: hunter2' >> \"$1\"", "the name does not begin with vault_"),
        ("echo 'vault_key: hunter2' >> \"$1\"", "vault_key is there twice"),
        ("echo 'vault_x: {hunter2' >> \"$1\"", "no YAML"),
        ('echo hunter2 > "$1"', "holds no names with values"),
        ('echo hunter2 >> "$1"; exit 3', "ended with status 3"),
    ],
)
def test_what_is_no_vault_is_not_saved_and_not_shown(made: Place, script: str, said: str):
    made.editor(script)
    line = made.refused("edit")
    assert said in line
    assert "hunter2" not in line


def test_no_plain_copy_is_left_when_fab_is_killed_while_the_editor_is_open(made: Place):
    seen = made.home / "seen"
    made.editor(f'echo "$1" > {seen}.part; mv {seen}.part {seen}; exec sleep 60')
    process = made.begin("edit")
    try:
        until = time.monotonic() + 60
        while not seen.exists() and time.monotonic() < until:
            time.sleep(0.05)
        plain = Path(seen.read_text().strip())
        assert "vault_key" in plain.read_text()
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=90)
        until = time.monotonic() + 10
        while plain.parent.exists() and time.monotonic() < until:
            time.sleep(0.05)
        assert not plain.parent.exists()
    finally:
        if process.poll() is None:
            process.kill()
    assert made.values()["vault_key"]


def test_ctrl_c_in_the_editor_is_the_editors(made: Place):
    """The terminal tells all of them; vim leaves its insert mode at it."""
    made.editor('trap \'echo "vault_mine: mine" >> "$1"; exit 0\' INT; kill -INT $PPID $$; sleep 5; exit 3')
    made.succeed("edit")
    assert made.values()["vault_mine"] == "mine"


@pytest.mark.parametrize(
    ("script", "program", "said"),
    [
        ('rm "$1"', "", "left no text"),
        ("printf '\\351' > \"$1\"", "", "left no text"),
        ("", "vi 'x", "cannot be started: No closing quotation"),
        ("", "/nonexistent/editor -w", "/nonexistent/editor cannot be started"),
    ],
)
def test_an_editor_that_leaves_nothing_or_is_none_is_one_line(made: Place, script: str, program: str, said: str):
    made.editor(script)
    made.program = program or made.program
    assert said in made.refused("edit")


def test_an_edit_does_not_undo_another_that_was_saved_meanwhile(made: Place):
    other = made.home / "other"
    made.seal(other, "vault_other: theirs\n")
    made.editor(f"cp {other} {made.vault}; echo 'vault_mine: mine' >> \"$1\"")
    outcome = made("edit")
    assert outcome.status == 2
    assert "changed by somebody else meanwhile; nothing was saved" in outcome.errors
    assert made.values() == {"vault_other": "theirs"}


def test_a_rotated_key_keeps_the_old_one_among_its_fallbacks(made: Place):
    old = made.values()
    made.succeed("rotate", "vault_key")
    new = made.values()
    assert new["vault_key"] != old["vault_key"]
    assert new["vault_key_fallbacks"] == old["vault_key"]
    assert new["vault_salt"] == old["vault_salt"]
    made.succeed("rotate", "vault_key", forget=True)
    assert made.values()["vault_key_fallbacks"] == ""
    assert made.values()["vault_key"] not in (new["vault_key"], old["vault_key"])


def test_on_several_servers_all_accept_the_next_key_before_one_signs_with_it(made: Place):
    (made.path / "hosts.yml").write_text(HOSTS.replace("{web1: {", "{web2: {ansible_host: 192.0.2.2}, web1: {"))
    old = made.values()
    made.succeed("rotate", "vault_key")
    first = made.values()
    assert first["vault_key"] == old["vault_key"]
    assert first["vault_key_fallbacks"] == first["vault_key_next"]
    made.succeed("rotate", "vault_key")
    second = made.values()
    assert (second["vault_key"], second["vault_key_fallbacks"]) == (first["vault_key_next"], old["vault_key"])
    assert "vault_key_next" not in second


def test_a_secret_that_others_know_is_not_made_up(made: Place):
    made.seal(made.vault, made.text() + "vault_stripe: sk-1\n")
    assert "is known to another party" in made.refused("rotate", "vault_stripe")
    assert "no secret vault_keys in the vault; did you mean vault_key?" in made.refused("rotate", "vault_keys")
    assert "rotate which secret?" in made.refused("rotate")


def test_a_key_without_fallbacks_is_rotated_only_when_sessions_may_end(made: Place):
    main = made.path / "group_vars" / "all" / "main.yml"
    main.write_text("".join(line for line in MAIN.splitlines(True) if "FALLBACKS" not in line))
    assert "guestbook has no setting SECRET_KEY_FALLBACKS" in made.refused("rotate", "vault_key")
    made.succeed("rotate", "vault_key", forget=True)


def test_the_vault_password_is_renewed_for_every_encrypted_file(made: Place):
    other = made.path / "host_vars" / "web1.yml"
    made.seal(other, "vault_other: 1\n")
    old, values = made.password.read_text(), made.values()
    said = made.succeed("rotate", "vault-password").output
    assert "2 files" in said
    assert made.password.read_text() != old
    assert made.password.read_text().strip() not in said
    assert stat.S_IMODE(made.password.stat().st_mode) == 0o600
    assert made.values() == values
    assert made.opened(other) == "vault_other: 1\n"
    assert [path.name for path in made.password.parent.iterdir()] == ["production"]


def test_inventories_with_the_same_password_get_the_new_one_too_and_others_stay(made: Place):
    staging, foreign = (made.path.parent / name / "group_vars" / "all" / "vault.yml" for name in ("staging", "foreign"))
    for path, password in ((staging, ""), (foreign, "another")):
        path.parent.mkdir(parents=True)
        made.seal(path, "vault_other: 1\n", password)
    before = foreign.read_bytes()
    assert "2 files" in made.succeed("rotate", "vault-password").output
    assert made.opened(staging) == "vault_other: 1\n"
    assert foreign.read_bytes() == before


def test_a_renewal_of_the_password_that_was_cut_short_goes_on(made: Place):
    """As after a kill between the files: one is encrypted with the new password, the rest with the old one."""
    other = made.path / "host_vars" / "web1.yml"
    made.seal(other, "vault_other: 1\n", "the-new-one")
    beside = made.password.with_name("production.new")
    beside.touch(mode=0o600)
    beside.write_text("the-new-one\n")
    made.succeed("rotate", "vault-password")
    assert made.password.read_text() == "the-new-one\n"
    assert made.opened(other) == "vault_other: 1\n"
    assert made.values()["vault_key"]


def test_fab_and_ansible_playbook_both_find_the_password(made: Place):
    made.seal(made.vault, made.text() + "vault_stripe: sk-1\nvault_webhook: https://hooks.example.com/x\n")
    assert "vault_key: " in made.ansible_vault("view", str(made.vault))
    play = made.home / "play.yml"
    play.write_text(
        "- hosts: all\n  gather_facts: false\n  connection: local\n  tasks:\n"
        "    - ansible.builtin.assert: {that: vault_key | length == 64}\n"
    )
    command = [str(BIN / "ansible-playbook"), "-i", str(made.path), str(play)]
    done = subprocess.run(command, cwd=ROOT, env=made.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    code = f"from windlass import inventory; print(inventory.load({str(made.path)!r}).app(None).name)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=made.environment(), capture_output=True, text=True, check=False
    )
    assert done.stdout == "guestbook\n", done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show",), "secrets takes init, edit or rotate, not 'show'; fab secrets init makes the vault, edit opens it"),
        (("edit", "vault_key"), "secrets edit takes no name"),
    ],
)
def test_other_words_are_refused(made: Place, arguments: tuple[str, ...], said: str):
    assert said in made.refused(*arguments)


@pytest.mark.parametrize("option_first", [False, True])
def test_fab_takes_the_name_as_a_word(made: Place, option_first: bool):
    before = made.values()
    words = ["rotate", "vault_key"]
    env = ["--env", str(made.path)]
    command = [str(BIN / "fab"), "secrets", *(env + words if option_first else words + env)]
    done = subprocess.run(
        command, cwd=ROOT, env=made.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert made.values()["vault_key_fallbacks"] == before["vault_key"]


@pytest.mark.parametrize(
    ("password", "said"), [("wrong-hunter2", "Decryption failed"), (None, "no vault secrets found")]
)
def test_ansible_playbook_ends_before_it_reaches_a_server(made: Place, password: str | None, said: str):
    environment = made.environment()
    del environment["ANSIBLE_VAULT_PASSWORD_FILE"]
    if password:
        made.password.write_text(f"{password}\n")
        environment["ANSIBLE_VAULT_PASSWORD_FILE"] = str(made.password)
    command = [str(BIN / "ansible-playbook"), "-i", str(made.path), "site.yml", "-vvv"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    everything = done.stdout + done.stderr
    assert done.returncode != 0
    (line,) = [line for line in everything.splitlines() if "[ERROR]" in line]
    assert said in line
    assert "hunter2" not in everything
    assert "192.0.2.1" not in everything and "TASK [bootstrap" not in everything


def test_a_folder_that_cannot_be_written_is_one_line(place: Place):
    folder = place.path / "group_vars" / "all"
    (folder / "main.yml").rename(place.path / "kept")
    folder.rmdir()
    (place.path / "kept").rename(folder)
    outcome = place("init")
    (line,) = outcome.errors.splitlines()
    assert outcome.status == 2 and "vault.yml: cannot be written" in line


@pytest.fixture
def apart(place: Place) -> Place:
    """Return an inventory whose app has its database on another server."""
    (place.path / "hosts.yml").write_text(HOSTS + "    database: {hosts: {db1: {ansible_host: 192.0.2.2}}}\n")
    (place.path / "group_vars" / "all" / "main.yml").write_text(MAIN + "    services: [postgresql]\n")
    return place


def test_the_passwords_of_databases_have_a_generation_that_is_counted_up(apart: Place):
    for number in (2, 3):
        outcome = apart("rotate", "database")
        assert outcome.status == 0, outcome.everything
        assert f"generation {number}" in outcome.output and "ansible-playbook" in outcome.output
        text = (apart.path / "group_vars/all/passwords.yml").read_text()
        assert yaml.safe_load(text) == {"postgresql_password_generation": number}


def test_what_else_is_in_the_file_of_the_generation_stays(apart: Place):
    file = apart.path / "group_vars/all/passwords.yml"
    file.write_text("vault_note: kept\npostgresql_password_generation: 3 # of spring\nvault_more: kept\n")
    assert apart("rotate", "database").status == 0
    assert file.read_text() == "vault_note: kept\npostgresql_password_generation: 4\nvault_more: kept\n"
    file.write_text("vault_note: kept\n")
    assert apart("rotate", "database").status == 0
    assert file.read_text() == "vault_note: kept\npostgresql_password_generation: 2\n"


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        ("main.yml", "postgresql_password_generation: 4", "write the next number there"),
        ("passwords.yml", "postgresql_password_generation: four", "write postgresql_password_generation: 1 there"),
    ],
)
def test_a_generation_that_fab_cannot_count_up_says_what_to_write(apart: Place, file: str, line: str, said: str):
    with (apart.path / "group_vars" / "all" / file).open("a") as opened:
        opened.write(f"{line}\n")
    assert said in apart.refused("rotate", "database")


def test_a_database_on_the_same_server_has_no_password_to_rotate(apart: Place):
    (apart.path / "hosts.yml").write_text(HOSTS + "    database: {hosts: {web1: {}}}\n")
    assert "no app has its database on another server" in apart.refused("rotate", "database")
    apart_again = apart("rotate", "database", forget=True)
    assert apart_again.status == 2 and "--forget" in apart_again.errors
