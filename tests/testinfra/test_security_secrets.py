"""A unique canary stands in for every secret: no run, good or bad, at any verbosity, lets one out of its place."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret

from tests.support import fleet, leaks
from tests.support.leaks import Canaries
from tests.support.load import Group, Load
from tests.support.repository import ROOT, Repository
from tests.support.server import Server
from tests.support.visitor import Visitor

APP = "guestbook"
OF_THE_APP = ("SECRET_KEY", "SECRET_KEY_FALLBACKS", "MAIL_PASSWORD", "API_TOKEN")
FROM_THE_VAULT = (*OF_THE_APP, "webhook", "index", "relay", "database")
# The only files of the server that a secret may be in, each for root, or for root and the one service that needs it.
HOMES = {
    "/etc/windlass/guestbook.env": (*OF_THE_APP, "database", "redis"),
    "/etc/windlass/guestbook.notify.json": ("webhook",),
    "/etc/windlass/guestbook.json": ("index",),
    "/etc/postfix/sasl_passwd": ("relay",),
    "/etc/redis/guestbook.password": ("redis",),
}
# Only with a database on another server.
ELSEWHERE = f"/etc/windlass/{APP}.owner.env"
MIGRATION = """\
import os

revision = "9999"
down_revision = "0001"


def upgrade():
    raise ValueError("cannot go on with " + os.environ["SECRET_KEY"] + " " + os.environ.get("DATABASE_URL", ""))
"""


BROKEN = {
    "a failed migration": {"migrations/versions/9999_broken.py": MIGRATION},
    "a release command that raises": {"guestbook/cli.py": "import os\n\nraise RuntimeError(os.environ)\n"},
    "a build that fails": {"uv.lock": "", "requirements.txt": "windlass-has-no-such-package==1\n"},
}


@dataclass
class Owner:
    """Who runs the commands, with an inventory full of canaries, and keeps all that they print."""

    inventory: Path
    password: Path
    canaries: Canaries
    printed: dict[str, str] = field(default_factory=dict)

    def run(self, title: str, *command: str, password: Path | None = None) -> int:
        """Run a command of .venv/bin and return its status."""
        settings = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        settings |= {"ANSIBLE_VAULT_PASSWORD_FILE": str(password or self.password), "NO_COLOR": "1"}
        done = subprocess.run(
            [str(ROOT / ".venv" / "bin" / command[0]), *command[1:]],
            cwd=ROOT,
            env=settings,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        self.printed[title] = done.stdout + done.stderr
        return done.returncode

    def provision(self, title: str, *arguments: str) -> int:
        """Run site.yml as loudly as it can."""
        return self.run(title, "ansible-playbook", "-i", str(self.inventory), "site.yml", "-vvv", "--diff", *arguments)

    def fab(self, title: str, verb: str, *arguments: str) -> int:
        """Run a verb."""
        return self.run(title, "fab", verb, "--env", str(self.inventory), *arguments)

    def write(self, **env: str) -> None:
        """Write the inventory: what the scenario has, a canary in every secret, and more settings of the app."""
        source = self.inventory.with_name("inventory") / "group_vars" / "all" / "main.yml"
        values: dict[str, Any] = yaml.safe_load(source.read_text())
        app = values["apps"][0]
        app["env"] |= {name: f"{{{{ vault_{name.lower()} }}}}" for name in OF_THE_APP} | env
        app["notify"] = {"webhook": "https://hooks.invalid/{{ vault_webhook }}"}
        values["app_index_url"] = "https://windlass:{{ vault_index }}@pypi.org/simple"
        values["postfix_relay"] = {"host": "relay.invalid", "user": "windlass", "password": "{{ vault_relay }}"}
        folder = self.inventory / "group_vars" / "all"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "main.yml").write_text(yaml.safe_dump(values))
        secrets = {f"vault_{name.lower()}": self.canaries[name] for name in FROM_THE_VAULT}
        secrets["vault_unwritable"] = f"{self.canaries['unwritable']}\r"
        sealed = VaultLib().encrypt(
            yaml.safe_dump(secrets), secret=VaultSecret(self.canaries["vault password"].encode())
        )
        (folder / "vault.yml").write_bytes(sealed)


@dataclass
class Story:
    """What happened, and what was seen meanwhile."""

    owner: Owner
    since: float
    processes: leaks.Processes
    statuses: dict[str, int]


@pytest.fixture(scope="module")
def owner(inventory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owner]:
    canaries = Canaries()
    folder = inventory.with_name(f"{inventory.name}-canaries")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "group_vars" / "all").mkdir(parents=True)
    for name in ("hosts.yml", "group_vars/all/machine.yml"):
        if (inventory / name).exists():
            shutil.copy(inventory / name, folder / name)
    fleet.link(inventory, folder, "known_hosts", "keys", "repositories", "ca.pem")
    password = tmp_path_factory.mktemp("owner") / "vault-password"
    password.touch(mode=0o600)
    password.write_text(canaries["vault password"] + "\n")
    key = (inventory / "keys" / "owner").read_text().splitlines()
    canaries.values["private key"] = key[len(key) // 2]
    found = Owner(folder, password, canaries)
    found.write()
    yield found
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def story(owner: Owner, inventory: Path, repository: Repository, server: Server) -> Iterator[Story]:
    """Provision, release and go back; then let go wrong what can; then put everything back as it was."""
    repository.git("tag", "--force", "works")
    statuses: dict[str, int] = {}
    since = time.time()
    with leaks.Processes() as processes:
        statuses["provision"] = owner.provision("provision")
        owner.canaries.values["redis"] = server.run("cat /etc/redis/guestbook.password")
        for title, verb, *arguments in GOOD:
            if verb == "rollback":
                repository.set_version("9.9.9")
                statuses["deploy again"] = owner.fab("deploy again", "deploy", "--verbose", "--yes")
            statuses[title] = owner.fab(title, verb, *arguments)
        _failures(owner, repository, statuses)
    yield Story(owner, since, processes, statuses)
    repository.git("reset", "--quiet", "--hard", "works")
    owner.inventory = inventory
    assert owner.run("back", "ansible-playbook", "-i", str(inventory), "site.yml") == 0, owner.printed["back"][-3000:]


GOOD = [
    ("check", "check"),
    ("plan", "plan", "--json"),
    ("deploy", "deploy", "--verbose", "--plan", "--yes"),
    ("status", "status", "--json"),
    ("releases", "releases", "--json"),
    ("restart", "restart", "--verbose"),
    ("logs", "logs", "--lines", "200"),
    ("rollback", "rollback", "--verbose"),
]


def _failures(owner: Owner, repository: Repository, statuses: dict[str, int]) -> None:
    for title, files in BROKEN.items():
        repository.git("reset", "--quiet", "--hard", "works")
        for name, text in files.items():
            repository.write(name, text)
        repository.commit(title)
        statuses[title] = owner.fab(title, "deploy", "--verbose")
    repository.git("reset", "--quiet", "--hard", "works")
    owner.write(DATABASE_URL="postgresql://guestbook:{{ vault_database }}@127.0.0.1:5432/guestbook")
    statuses["a wrong database password"] = owner.provision("a wrong database password", "--tags", "app")
    statuses["a deploy with it"] = owner.fab("a deploy with it", "deploy", "--verbose")
    owner.write(BROKEN="{{ vault_api_token is string }}")
    statuses["a template that fails"] = owner.provision("a template that fails", "--tags", "app")
    owner.write(BROKEN="{{ vault_unwritable }}")
    statuses["a setting that cannot be"] = owner.provision("a setting that cannot be")
    other = owner.password.with_name("another")
    other.touch(mode=0o600)
    other.write_text(owner.canaries["wrong vault password"] + "\n")
    for name in ("ansible-playbook", "fab"):
        title = f"a wrong vault password, {name}"
        command = ["ansible-playbook", "-vvv", "site.yml", "-i"] if name != "fab" else ["fab", "deploy", "--env"]
        statuses[title] = owner.run(title, *command, str(owner.inventory), password=other)
    owner.write()
    statuses["provision again"] = owner.provision("provision again", "--tags", "app")


def expected(title: str) -> bool:
    """Whether a step was to go well."""
    return title in {"provision", "provision again", "deploy again", *(good[0] for good in GOOD)}


def test_the_search_finds_a_secret_in_every_kind_of_place(server: Server, released: Repository, tmp_path: Path):
    planted = Canaries()
    value = planted["planted"]
    since = time.time() - 1
    folders = ["/var/log", "/tmp", "/var/tmp", "/root", "/run", "/dev/shm", "/var/lib/windlass", "/home/admin"]
    folders += [f"/srv/{APP}/current/", f"/srv/{APP}/shared", "/etc/windlass", "/var/lib/postgresql"]
    files = [f"{folder.rstrip('/')}/planted" for folder in folders]
    mine = [place / "planted" for place in leaks.places_here() if place.is_dir()]
    try:
        for file in files:
            server.run(f"echo x{value}x > {file}")
        server.run(f"logger planted {value}")
        for path in mine:
            path.write_text(f"x{value}x")
        with leaks.Processes() as processes:
            subprocess.run(["sh", "-c", "sleep 0.5", value], check=True)
            server.run(f"sh -c 'sleep 0.5; true' {value}-there")
        found = leaks.on_server(server, planted)
        assert {path for path in found if path.endswith("/planted")} == {
            server.run(f"realpath {file}") for file in files
        }
        assert leaks.in_journal(server, planted) == {"planted"}
        assert set(leaks.here(planted, since, [])) >= {str(path) for path in mine}
        assert processes.with_canaries(planted)
        assert processes.saw(f"^sh -c sleep 0.5; true {value}-there"), "the server's processes are not seen from here"
        assert planted.in_text(f"x{value}x") == {"planted"}
    finally:
        server.run(f"rm -f {' '.join(files)}")
        for path in mine:
            path.unlink(missing_ok=True)


def test_every_step_went_as_it_was_to_go(story: Story):
    wrong = {
        title: f"status {status}\n{story.owner.printed.get(title, '')[-1500:]}"
        for title, status in story.statuses.items()
        if (status == 0) is not expected(title)
    }
    assert not wrong, "\n".join(f"== {title}: {said}" for title, said in wrong.items())
    assert len(story.statuses) > 15


def test_the_failures_are_those_that_were_meant(story: Story):
    told = {
        "a failed migration": "cannot go on with ********",
        "a release command that raises": "RuntimeError",
        "a wrong database password": "********",
        "a template that fails": "Give each app its settings and secrets",
        "a setting that cannot be": "BROKEN: vault_unwritable holds a carriage return",
    }
    for title, words in told.items():
        assert words in story.owner.printed[title], f"{title}: {story.owner.printed[title][-2000:]}"


def test_no_secret_is_printed(story: Story):
    found = {
        title: names for title, text in story.owner.printed.items() if (names := story.owner.canaries.in_text(text))
    }
    assert len(story.owner.printed) > 15
    assert not found


def test_each_secret_is_in_its_own_file_of_the_server_and_nowhere_else(story: Story, server: Server):
    found = leaks.on_server(server, story.owner.canaries)
    rights = leaks.documented(APP)
    assert set(rights) - set(HOMES) == {ELSEWHERE}
    for path, names in HOMES.items():
        assert found.get(path, set()) <= set(names), path
        assert server.run(f"stat -c '%F %U:%G %a' {path}") == f"regular file {rights[path]}", path
    assert {"SECRET_KEY", "redis", "relay", "webhook", "index"} <= set().union(*found.values()), "nothing was looked at"
    elsewhere = {path: names for path, names in found.items() if path not in HOMES}
    assert not elsewhere


def test_no_secret_is_in_the_journal(story: Story, server: Server):
    assert leaks.in_journal(server, story.owner.canaries) == set()


def test_no_secret_is_an_argument_of_a_process(story: Story):
    for pattern in (
        "ansible-playbook",
        r"fab.* deploy",
        "/usr/local/sbin/windlass",
        "psql",
        "uv .*pip|uv .*sync",
        "flask deploy",
    ):
        assert story.processes.saw(pattern), f"not seen: {pattern}"
    assert story.processes.with_canaries(story.owner.canaries) == []


def test_no_secret_is_left_on_the_machine_of_who_runs_the_commands(story: Story):
    assert leaks.here(story.owner.canaries, story.since, [story.owner.inventory, story.owner.password.parent]) == {}


@pytest.fixture
def rotating(inventory: Path, tmp_path: Path) -> Iterator[Owner]:
    """Give the guestbook a key of a vault that `fab secrets` made, and somebody who can rotate it."""
    folder = inventory.with_name(f"{inventory.name}-rotating")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "group_vars" / "all").mkdir(parents=True)
    for name in ("hosts.yml", "group_vars/all/machine.yml", "group_vars/all/main.yml"):
        if (inventory / name).exists():
            shutil.copy(inventory / name, folder / name)
    fleet.link(inventory, folder, "known_hosts", "keys", "repositories", "ca.pem")
    main = folder / "group_vars" / "all" / "main.yml"
    values = yaml.safe_load(main.read_text())
    values["apps"][0]["env"] |= {"SECRET_KEY": "{{ vault_key }}", "SECRET_KEY_FALLBACKS": "{{ vault_key_fallbacks }}"}
    main.write_text(yaml.safe_dump(values))
    found = Owner(folder, tmp_path / "vault-password", Canaries())
    assert found.fab("init", "secrets", "init") == 0, found.printed
    provision_the_app(found)
    yield found
    assert found.run("back", "ansible-playbook", "-i", str(inventory), "site.yml", "--tags", "app") == 0, found.printed
    shutil.rmtree(folder, ignore_errors=True)


def provision_the_app(owner: Owner) -> None:
    """Bring the settings to the server; the app starts again if they changed."""
    status = owner.run("provision", "ansible-playbook", "-i", str(owner.inventory), "site.yml", "--tags", "app")
    assert status == 0, owner.printed["provision"][-4000:]


def session(visitor: Visitor) -> str:
    """Return the cookie of a new session."""
    return set_cookie(visitor, "").partition(";")[0]


def is_known(visitor: Visitor, cookie: str) -> bool:
    """Whether a session goes on; the guestbook begins a new one for whoever has none that it can read."""
    return set_cookie(visitor, cookie) == ""


def set_cookie(visitor: Visitor, cookie: str) -> str:
    """Return the cookie that the first page sets for whoever brings this one."""
    connection = visitor.connect()
    try:
        connection.request("GET", "/", headers={"Cookie": cookie} if cookie else {})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200
        return answer.getheader("set-cookie") or ""
    finally:
        connection.close()


def test_a_key_is_rotated_with_no_request_lost_and_no_session_ended(
    rotating: Owner, guestbook: Visitor, server: Server
):
    before, old = session(guestbook), guestbook.ask("/version").json
    assert is_known(guestbook, before)
    assert not is_known(guestbook, before[:-3] + "abc"), "a session with a wrong signature counts"
    file = server.run("sha256sum /etc/windlass/guestbook.env")
    with Load(guestbook, {"read": Group(1, 1, 0.2), "write": Group(1, 1, 0.3)}, seconds=600.0) as load:
        assert rotating.fab("rotate", "secrets", "rotate", "vault_key") == 0, rotating.printed
        provision_the_app(rotating)
        changed = time.time()
        time.sleep(2)
    assert len([sample for sample in load.samples if sample.sent > changed]) > 5
    assert [sample for sample in load.samples if sample.failed] == []
    assert server.run("sha256sum /etc/windlass/guestbook.env") != file
    assert guestbook.ask("/version").json["pid"] != old["pid"]
    assert is_known(guestbook, before)
    after = session(guestbook)
    assert rotating.fab("forget", "secrets", "rotate", "vault_key", "--forget") == 0, rotating.printed
    provision_the_app(rotating)
    assert not is_known(guestbook, before)
    assert not is_known(guestbook, after)
