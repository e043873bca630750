"""Hooks, notices and the key of a pipeline, on a server that was provisioned with them."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.support import playbook
from tests.support.fab import Fab
from tests.support.repository import Repository
from tests.support.server import Server, wait_for
from tests.support.visitor import Visitor

HOOKS = {
    "server": {"after-switch": 'echo "$(id -un) $WINDLASS_RELEASE" > /tmp/hook-$WINDLASS_APP'},
    "laptop": {"after-deploy": 'echo "$WINDLASS_RELEASE" > told'},
}
PROGRAM = "sudo -n /usr/local/sbin/windlass"


@dataclass(frozen=True)
class Pipeline:
    """A pipeline's own view of the inventory, with a key that may only deploy the guestbook."""

    fab: Fab
    key: Path
    address: str

    def ssh(
        self, *command: str, user: str = "deploy", options: tuple[str, ...] = (), given: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Come in with the pipeline's key and no other."""
        own = ["-oBatchMode=yes", "-oIdentitiesOnly=yes", f"-oUserKnownHostsFile={self.fab.inventory}/known_hosts"]
        command = ("ssh", *own, f"-i{self.key}", *options, f"{user}@{self.address}", *command)
        return subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)

    def ask(self, action: str, app: str = "guestbook", **more: object) -> dict:
        """Send one request as `fab` would, and return the result."""
        request = {"protocol": 1, "action": action, "app": app, "by": "pipeline", **more}
        answer = self.ssh(PROGRAM, given=json.dumps(request) + "\n")
        return json.loads(answer.stdout.splitlines()[-1])


def copy_of(inventory: Path, folder: Path) -> Path:
    """Return a copy of an inventory with the same repositories and known hosts."""
    folder.mkdir()
    for path in inventory.iterdir():
        if path.name in ("group_vars", "hosts.yml"):
            (shutil.copytree if path.is_dir() else shutil.copy)(path, folder / path.name)
        else:
            (folder / path.name).symlink_to(path.resolve())
    return folder


@pytest.fixture(scope="module")
def pipeline(
    inventory: Path, address: str, released: Repository, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pipeline]:
    """Provision the server anew with hooks, notices and a pipeline's key; take them away afterwards."""
    folder = tmp_path_factory.mktemp("pipeline")
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    owners = copy_of(inventory, folder / "owners")
    main = owners / "group_vars/all/main.yml"
    variables = yaml.safe_load(main.read_text())
    entry = next(app for app in variables["apps"] if app["name"] == "guestbook")
    entry["deploy_keys"] = [Path(f"{key}.pub").read_text().strip()]
    entry |= {"hooks": HOOKS, "notify": {"mail": ["admin@localhost"], "webhook": "https://127.0.0.1:9/s3cret-path"}}
    main.write_text(yaml.safe_dump(variables))
    playbook.succeed(owners, "--tags", "base,app")
    theirs = copy_of(owners, folder / "theirs")
    hosts = yaml.safe_load((theirs / "hosts.yml").read_text())
    hosts["all"]["vars"]["ansible_ssh_private_key_file"] = str(key)
    (theirs / "hosts.yml").write_text(yaml.safe_dump(hosts))
    yield Pipeline(Fab(theirs), key, address)
    playbook.succeed(inventory, "--tags", "base,app")


def test_the_key_of_a_pipeline_deploys_with_hooks_and_a_notice(
    pipeline: Pipeline, released: Repository, guestbook: Visitor, server: Server
):
    released.set_version("8.1.0")
    server.run("rm -f /var/mail/admin")
    pipeline.fab.succeed("deploy", "--app", "guestbook")
    seen = guestbook.ask("/version").json
    assert seen["version"] == "8.1.0"
    assert server.run("cat /tmp/hook-guestbook") == f"guestbook {seen['release']}"
    assert (pipeline.fab.inventory / "told").read_text().strip() == seen["release"]
    wait_for(lambda: "guestbook: deployed main" in server.run("cat /var/mail/admin"), 60, "the notice by mail")
    wait_for(lambda: "webhook" in server.run("cat /var/lib/windlass/guestbook/unsent"), 60, "the notice that failed")
    assert "s3cret" not in server.run("cat /var/lib/windlass/guestbook/unsent; journalctl --no-pager -t windlass")


def test_where_notices_go_is_for_root_alone(pipeline: Pipeline, server: Server):
    assert server.run("stat -c '%U %a' /etc/windlass/guestbook.notify.json") == "root 600"
    assert "s3cret" not in server.run("cat /etc/windlass/guestbook.json")


@pytest.mark.parametrize(
    ("verb", "arguments"), [("run", ["id"]), ("rollback", []), ("restart", []), ("logs", []), ("maintenance", ["on"])]
)
def test_the_key_of_a_pipeline_is_refused_in_one_line_for_all_else(pipeline: Pipeline, verb: str, arguments: list[str]):
    outcome = pipeline.fab(verb, "--app", "guestbook", *arguments)
    assert outcome.status == 1, outcome.everything
    assert f"this key may only deploy guestbook; {verb} is not for pipelines" in outcome.errors
    assert len(outcome.errors.strip().splitlines()) == 1, outcome.everything


def test_the_key_of_a_pipeline_reaches_no_other_app(pipeline: Pipeline):
    assert pipeline.ask("status")["ok"]
    for app in ("visitors", "no-such-app"):
        assert pipeline.ask("status", app=app)["error"]["code"] == "not-allowed"


def test_the_key_of_a_pipeline_gets_no_shell_and_no_way_on(pipeline: Pipeline):
    for command, options in (("id", ()), (f"{PROGRAM} launch guestbook x web; id", ()), ("sftp", ("-s",))):
        answer = pipeline.ssh(command, options=options, given="id\n")
        assert "uid=" not in answer.stdout + answer.stderr
        assert "bad-request" in answer.stdout, answer
    assert "PTY allocation request failed" in pipeline.ssh("bash", options=("-tt",), given="id\n").stderr
    assert "administratively prohibited" in pipeline.ssh(options=("-W", "127.0.0.1:22")).stderr
    assert "Permission denied" in pipeline.ssh("id", user="admin").stderr


def test_deploy_may_run_two_commands_as_root_and_nothing_else(pipeline: Pipeline, server: Server):
    rules = [line.strip() for line in server.run("sudo -l -U deploy").splitlines() if "NOPASSWD" in line]
    assert rules == [
        '(root) NOPASSWD: /usr/local/sbin/windlass ""',
        "(root) NOPASSWD: /usr/local/sbin/windlass deploy-only guestbook",
    ]
    for arguments in ("deploy-only visitors", "deploy-only guestbook x", "launch guestbook x web"):
        refused = server.try_run(f"runuser -u deploy -- sudo -n /usr/local/sbin/windlass {arguments} < /dev/null")
        assert "a password is required" in refused.stderr, arguments
