"""Who comes in by SSH and who does not, as a stranger tries it; and that no change closes the door on the owner."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ssh_audit
import yaml
from testinfra.host import Host

from tests.support import playbook
from tests.support.fab import Fab
from tests.support.repository import ROOT, Repository
from tests.support.server import Server, wait_for

POLICIES = {"13": "Hardened Debian 13 (version 1)", "12": "Hardened Debian 12 (version 3)"}
GUARD_SECONDS = 60
STRANGER = "ssh -n -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=5 -o BatchMode=yes"


@pytest.fixture(scope="module")
def release(server: Server) -> str:
    """Return the release of Debian: 12 or 13."""
    found = server.run('. /etc/os-release && echo "$VERSION_ID"')
    assert found in POLICIES
    return found


def test_a_stranger_is_asked_for_a_key_and_nothing_else(scanner: Host, address: str):
    attempt = scanner.run(f"{STRANGER} admin@{address} true; test $? = 255")
    assert attempt.rc == 0, "a stranger was let in"
    assert "Permission denied (publickey)" in attempt.stderr, attempt.stderr


@pytest.fixture(scope="module")
def audit(scanner: Host, address: str, apart: Path) -> Callable[..., tuple[int, Any]]:
    """Return ssh-audit, on the stranger's machine: sshd shuts out for a while who asks as often as it does."""
    facts = yaml.safe_load(apart.read_text())["all"]["hosts"]["scanner"]
    login = ["ssh", *shlex.split(facts["ansible_ssh_common_args"]), "-i", facts["ansible_ssh_private_key_file"]]
    package = Path(ssh_audit.__file__).parent
    packed = subprocess.run(["tar", "c", "-C", str(package.parent), package.name], capture_output=True, check=True)
    unpack = [*login, f"root@{facts['ansible_host']}", "tar x -C /opt"]
    subprocess.run(unpack, input=packed.stdout, check=True)

    def scan(*options: str) -> tuple[int, Any]:
        """Return its exit status and what it found, once sshd talks to it."""
        words = shlex.join(["python3", "-m", "ssh_audit.ssh_audit", "--json", *options, address])
        for _ in range(12):
            done = scanner.run(f"cd /opt && {words}")
            if "did not receive banner" not in done.stdout:
                return done.rc, json.loads(done.stdout)
            time.sleep(10)
        raise AssertionError(done.stdout)

    return scan


def test_ssh_audits_policy_for_this_release_of_debian_passes(audit: Callable[..., tuple[int, Any]], release: str):
    status, found = audit("--policy", POLICIES[release])
    assert found["policy"] == POLICIES[release]
    assert found["passed"] is True and status == 0, json.dumps(found["errors"], indent=1)


def test_a_plain_scan_by_ssh_audit_fails_no_algorithm(audit: Callable[..., tuple[int, Any]], release: str):
    status, found = audit()
    looked_at = {kind: found[kind] for kind in ("kex", "key", "enc", "mac")}
    assert all(looked_at.values()), "nothing was looked at"
    failed = {
        entry["algorithm"]: entry["notes"]["fail"]
        for entries in looked_at.values()
        for entry in entries
        if entry["notes"].get("fail")
    }
    assert failed == {}
    warned = [note for entries in looked_at.values() for entry in entries for note in entry["notes"].get("warn", [])]
    assert not [note for note in warned if "DHEat" in note]
    if release == "13":
        assert status == 0, warned


@pytest.mark.parametrize("user", ["admin", "deploy"])
def test_nobody_passes_through_to_the_servers_own_network(inventory: Path, address: str, user: str):
    refused = ssh(inventory, address, user, "-W", "127.0.0.1:22")
    assert "administratively prohibited" in refused.stderr, refused.stderr
    remote = ssh(inventory, address, user, "-oExitOnForwardFailure=yes", "-R", "127.0.0.1:9999:127.0.0.1:22", "true")
    assert "remote port forwarding failed" in remote.stderr, remote.stderr


def ssh(inventory: Path, address: str, user: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Come in as a user with the owner's key, on a connection of its own; options first, then a command."""
    words = [argument for argument in arguments if argument == "true"]
    options = [argument for argument in arguments if argument != "true"]
    known = f"-oUserKnownHostsFile={inventory / 'known_hosts'}"
    login = ["-oBatchMode=yes", "-oConnectTimeout=15", known, "-i", str(inventory / "keys/owner"), f"{user}@{address}"]
    command = ["ssh", *options, *login, *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False)


def test_one_who_tries_keys_is_shut_out_and_the_owner_is_not(
    scanner: Host, server: Server, inventory: Path, address: str, release: str
):
    scanner.run("test -e /var/tmp/wrong || ssh-keygen -q -t ed25519 -N '' -f /var/tmp/wrong")
    script = f"""
        end=$(( $(date +%s) + 30 ))
        while [ $(date +%s) -lt $end ]; do
          for n in 1 2 3 4; do {STRANGER} -i /var/tmp/wrong admin@{address} true & done
          wait
        done 2>&1
    """
    scanner.check_output("printf '%%s' %s > /var/tmp/attack.sh", script)
    scanner.check_output(
        "systemd-run --quiet --collect --unit=attack sh -c 'sh /var/tmp/attack.sh > /var/tmp/attack.log'"
    )
    logins = 0
    while scanner.run("systemctl is-active attack").stdout.strip() == "active":
        came = ssh(inventory, address, "admin", "true")
        assert came.returncode == 0, f"the owner does not come in: {came.stderr}"
        logins += 1
        time.sleep(1)
    assert logins >= 2, "the owner hardly tried"
    log = scanner.check_output("cat /var/tmp/attack.log")
    tried, shut_out = log.count("Permission denied"), len(re.findall(r"Not allowed|reset by|closed by|timed out", log))
    assert tried >= 1, log[-2000:]
    if release == "13":
        assert shut_out > tried, f"{tried} tries were answered, {shut_out} were not"
    else:
        assert tried <= 20 + 30 + 10, "more than the firewall is to let through in half a minute"
        with_limit = server.run("nft list set inet windlass ssh_ip")
        assert "elements" in with_limit, with_limit


class Fake:
    """A copy of the inventory with another known_hosts file."""

    def __init__(self, inventory: Path, folder: Path, lines: str) -> None:
        shutil.copytree(inventory, folder, ignore=shutil.ignore_patterns("repositories", "facts"), symlinks=True)
        (folder / "repositories").symlink_to(inventory / "repositories")
        (folder / "known_hosts").write_text(lines)
        hosts = (folder / "hosts.yml").read_text()
        (folder / "hosts.yml").write_text(hosts.replace(f"{inventory}/known_hosts", f"{folder}/known_hosts"))
        self.path = folder


@pytest.fixture
def another_key(tmp_path: Path) -> tuple[str, str]:
    """Return a key that is not the server's, and its fingerprint."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(tmp_path / "key")], check=True)
    shown = subprocess.run(
        ["ssh-keygen", "-l", "-f", str(tmp_path / "key")], capture_output=True, text=True, check=True
    )
    return (tmp_path / "key.pub").read_text().strip(), shown.stdout.split()[1]


@pytest.fixture(scope="module")
def fingerprint(server: Server) -> str:
    """Return the fingerprint of the server's key, as its console shows it."""
    return server.run("ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub").split()[1]


def test_fab_refuses_a_changed_host_key_and_shows_both(
    inventory: Path, address: str, another_key: tuple[str, str], fingerprint: str, released: Repository, tmp_path: Path
):
    fake = Fake(inventory, tmp_path / "changed", f"{address} {another_key[0]}\n")
    outcome = Fab(fake.path)("deploy", "--app", "guestbook")
    lines = [line for line in outcome.errors.splitlines() if line.startswith("error:")]
    assert outcome.status == 4, outcome.everything
    assert len(lines) == 1, outcome.everything
    for text in ("CHANGED", another_key[1], fingerprint, "ssh-keygen -f"):
        assert text in lines[0], outcome.everything


def test_fab_refuses_an_unknown_host_key_and_shows_it(
    inventory: Path, fingerprint: str, released: Repository, tmp_path: Path
):
    outcome = Fab(Fake(inventory, tmp_path / "unknown", "").path)("deploy", "--app", "guestbook")
    lines = [line for line in outcome.errors.splitlines() if line.startswith("error:")]
    assert outcome.status == 4, outcome.everything
    assert len(lines) == 1 and fingerprint in lines[0] and "ssh-keyscan" in lines[0], outcome.everything


def provision(inventory: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the ground's playbook on this inventory, on connections of its own."""
    return playbook.play(inventory, *arguments, playbook="playbooks/base.yml", **own_connections(), **more)


def own_connections() -> dict[str, str]:
    """Return what keeps Ansible from a connection that is open already."""
    return {"ANSIBLE_SSH_CONTROL_PATH_DIR": f"/tmp/wl-{os.getpid()}-{time.time_ns()}"}


def begin(inventory: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    """Start a playbook and go on; it leads a process group."""
    settings = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    settings |= {"NO_COLOR": "1", **own_connections(), **more}
    command = [str(ROOT / ".venv/bin/ansible-playbook"), "-i", str(inventory), "playbooks/base.yml", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=settings,
        stdin=subprocess.DEVNULL,
        stdout=pipe,
        stderr=pipe,
        text=True,
        start_new_session=True,
    )


def test_ansible_refuses_a_changed_host_key_and_shows_both(
    inventory: Path, address: str, another_key: tuple[str, str], fingerprint: str, tmp_path: Path
):
    fake = Fake(inventory, tmp_path / "changed", f"{address} {another_key[0]}\n")
    done = provision(fake.path)
    assert done.returncode != 0
    said = [line for line in (done.stdout + done.stderr).splitlines() if "CHANGED" in line]
    assert said, done.stdout + done.stderr
    for text in (another_key[1], fingerprint, "ssh-keygen -f"):
        assert text in said[0], said
    assert "changed=0" in done.stdout
    assert (fake.path / "known_hosts").read_text() == f"{address} {another_key[0]}\n"


def test_ansible_records_the_key_of_a_server_that_it_meets_for_the_first_time(
    inventory: Path, address: str, fingerprint: str, tmp_path: Path
):
    fake = Fake(inventory, tmp_path / "unknown", "")
    done = provision(fake.path, "--tags", "bootstrap")
    assert done.returncode == 0, done.stdout + done.stderr
    assert fingerprint in done.stdout
    assert (fake.path / "known_hosts").read_text().startswith(f"{address} ssh-ed25519 ")


@pytest.fixture
def lasting(server: Server) -> Iterator[Server]:
    """Return the server, whose way in is as it was after the test, whatever the test did."""
    before = settings_of(server)
    yield server
    wait_for(lambda: settings_of(server) == before, 2 * GUARD_SECONDS, "the settings are as they were", pause=2)


def settings_of(server: Server) -> str:
    """Return what decides who comes in, and whether a change of it is pending."""
    return server.run(
        "cat /etc/ssh/sshd_config.d/00-windlass.conf /etc/systemd/system/ssh.service.d/windlass.conf; "
        "systemctl show ssh.service --property InaccessiblePaths --value; "
        "cat /etc/nftables.conf /etc/nftables.d/*.nft; "
        "sshd -T | grep -i allowgroups; nft -s list table inet windlass | grep -v elements | grep dport; "
        "ls /var/lib/windlass-guard",
        seconds=20,
    )


DROP_IN = "files/etc/systemd/system/ssh.service.d/windlass.conf"
# Each lets in nobody that is there: the settings of sshd, what systemd lets it do, and an sshd that does not start.
SPOILT = {
    "settings": (
        "templates/etc/ssh/sshd_config.d/00-windlass.conf.j2",
        "AllowGroups admin deploy\n",
        "AllowGroups nogroup\n",
    ),
    "sandbox": (DROP_IN, "[Service]\n", "[Service]\nInaccessiblePaths=/home\n"),
    "start": (DROP_IN, "[Service]\n", "[Service]\nExecStartPre=/bin/false\n"),
}


@pytest.fixture
def spoilt_roles(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Return a folder of roles in which one thing is so that sshd lets nobody in."""
    name, whole, spoilt = SPOILT[getattr(request, "param", "settings")]
    shutil.copytree(ROOT / "roles", tmp_path / "roles")
    file = tmp_path / "roles/base" / name
    text = file.read_text()
    assert whole in text
    file.write_text(text.replace(whole, spoilt))
    return tmp_path / "roles"


def assert_taken_back(done: subprocess.CompletedProcess[str], what: str) -> None:
    """Check that a run failed and said what became of the change, however Ansible wraps its lines."""
    assert done.returncode != 0, done.stdout
    said = " ".join(done.stdout.split())
    assert f"the change was taken back, and the old settings of {what} serve" in said, done.stdout[-4000:] + done.stderr


@pytest.mark.parametrize("spoilt_roles", list(SPOILT), indirect=True)
def test_a_change_of_sshd_that_refuses_the_owners_key_is_taken_back(
    lasting: Server, inventory: Path, spoilt_roles: Path
):
    done = provision(inventory, "--tags", "bootstrap,base", ANSIBLE_ROLES_PATH=str(spoilt_roles))
    assert_taken_back(done, "sshd")
    assert lasting.try_run("true").returncode == 0


def test_a_firewall_that_closes_the_port_of_ssh_is_taken_back(lasting: Server, inventory: Path):
    done = provision(inventory, "--extra-vars", '{"base_ssh_ports": [2222]}')
    assert_taken_back(done, "the firewall")
    assert lasting.try_run("true").returncode == 0


def test_the_server_takes_a_change_back_by_itself_when_the_laptop_dies(
    lasting: Server, inventory: Path, spoilt_roles: Path
):
    process = begin(inventory, "--tags", "bootstrap,base", ANSIBLE_ROLES_PATH=str(spoilt_roles))
    assert process.stdout
    for line in process.stdout:
        if "Come in as admin on a fresh connection" in line:
            break
    os.killpg(process.pid, 9)
    process.communicate()
    assert lasting.try_run("true").returncode != 0, "the change never counted"
    wait_for(lambda: lasting.try_run("true").returncode == 0, 3 * GUARD_SECONDS, "the owner comes in", pause=3)


def test_a_restart_before_the_confirmation_comes_back_with_the_old_rules(lasting: Server):
    before = settings_of(lasting)
    lasting.run(
        "windlass-guard arm firewall 3600 && sed -i 's/dport { 22 }/dport { 2222 }/' /etc/nftables.d/ssh.nft && "
        "grep -q 2222 /etc/nftables.d/ssh.nft"
    )
    lasting.reboot()
    assert settings_of(lasting) == before
    assert "nobody confirmed" in lasting.run("journalctl --no-pager --boot --unit windlass-guard.service")


def test_a_change_that_the_owner_survives_stays_and_leaves_nothing_pending(lasting: Server, inventory: Path):
    wider = {"base_ssh_ports": [22, 2222]}
    done = provision(inventory, "--extra-vars", json.dumps(wider))
    assert done.returncode == 0, done.stdout[-3000:]
    time.sleep(1)
    assert "dport { 22, 2222 }" in lasting.run("cat /etc/nftables.d/ssh.nft && nft list chain inet windlass services")
    assert lasting.run("ls /var/lib/windlass-guard; systemctl list-timers --all | grep windlass-guard || true") == ""
    done = provision(
        inventory,
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_admin_passes_through_where_the_owner_says_so_and_deploy_does_not(
    lasting: Server, inventory: Path, address: str
):
    try:
        done = provision(inventory, "--tags", "bootstrap,base", "--extra-vars", '{"base_ssh_forwarding": true}')
        assert done.returncode == 0, done.stdout[-3000:]
        through = ssh(inventory, address, "admin", "-W", "127.0.0.1:22")
        assert through.stdout.startswith("SSH-2.0-OpenSSH"), through.stderr
        refused = ssh(inventory, address, "deploy", "-W", "127.0.0.1:22")
        assert "administratively prohibited" in refused.stderr, refused.stderr
    finally:
        done = provision(inventory, "--tags", "bootstrap,base")
    assert done.returncode == 0, done.stdout[-3000:]


def test_a_run_without_a_change_guards_nothing(server: Server, inventory: Path):
    done = provision(
        inventory,
    )
    assert re.search(r"changed=0 +unreachable=0 +failed=0", done.stdout), done.stdout[-3000:]
    tasks = "".join(path.read_text() for path in ROOT.glob("roles/*/tasks/*.yml"))
    assert re.search(r"- name: .*to be taken back", tasks), "no task has the name that is looked for"
    begun = re.findall(r"TASK \[.*to be taken back.*\] \**\n(\w+)", done.stdout)
    assert set(begun) <= {"skipping"}, begun
