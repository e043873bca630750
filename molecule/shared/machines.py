#!/usr/bin/env python3
"""Start and remove test machines: containers that boot systemd and are reached by SSH, as a real server is.

    machines.py up | down      with a description as JSON on standard input:

    {"label": "demo",                       names the containers and their network
     "inventory": "/path/of/an/inventory",  where hosts.yml, known keys and the test CA are written
     "machines": [{"name": "server", "image": "trixie", "groups": ["database", "app", "web"]}],
     "acme": true,                          also a Pebble, as the CA that the servers ask
     "connect_as": "root"}                  left out: as Windlass's own inventories do, `admin`

A machine may say `"provider_user": "debian"` to be handed over with a sudo user in place of root, and `"apart": true`
to be in no playbook's reach: an inventory of its own, `inventory-apart` beside the other, lets in root.
`up` changes nothing that is there already, and prints `changed` if it had to. Standard library only.
"""

from __future__ import annotations

import ipaddress
import json
import os
import shutil
import ssl
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PROVIDER_FIRST_ADDRESS = 10
ACME_ADDRESS = 5
# What site.yml asks for. One without a machine is written empty: its owner wants none.
GROUPS = ["database", "app", "web"]
RUN_FLAGS = [
    "--systemd=always",
    "--privileged",
    "--ulimit=nofile=4096:4096",
    "--ulimit=nproc=4096:4096",
    "--pids-limit=0",
    "--restart=always",
]
# On a busy machine systemd does not answer yet when the container is there.
BOOTED = """
    for _ in $(seq 200); do
      case $(systemctl is-system-running --wait 2>/dev/null) in running | degraded) exit 0 ;; esac
      sleep 0.3
    done
"""


@dataclass
class Lab:
    """The test machines of one label, and where their inventory goes."""

    label: str
    inventory: Path
    machines: list[dict[str, Any]]
    acme: bool = False
    connect_as: str = "admin"
    changed: bool = field(default=False, init=False)

    @property
    def apart(self) -> Path:
        """Where the machines stand that are not provisioned."""
        return self.inventory.with_name(f"{self.inventory.name}-apart")

    @property
    def network(self) -> str:
        """Name of the podman network, and the prefix of the containers' names."""
        return f"windlass-{self.label}"

    def container(self, machine: str) -> str:
        """Return the name of a machine's container."""
        return f"{self.network}-{machine}"


def podman(*arguments: str, text: str | None = None, check: bool = True) -> str:
    """Run podman and return what it printed; `text` goes to its standard input."""
    result = subprocess.run([str(HERE / "podman"), *arguments], input=text, capture_output=True, text=True, check=False)
    if check and result.returncode != 0:
        raise SystemExit(f"podman {arguments[0]} failed: {result.stderr.strip() or result.stdout.strip()}")
    return result.stdout.strip() if result.returncode == 0 else ""


def image(kind: str) -> str:
    """Return the name of an image, built if it is not there."""
    result = subprocess.run([str(HERE / "image"), kind], stdout=subprocess.PIPE, text=True, check=False)
    if result.returncode != 0:
        raise SystemExit(f"the image '{kind}' could not be built (see above).")
    return result.stdout.strip()


def owner_key(lab: Lab) -> str:
    """Make the owner's key pair, once, and return its public half."""
    keys = lab.inventory / "keys"
    keys.mkdir(mode=0o700, parents=True, exist_ok=True)
    private = keys / "owner"
    if not private.exists():
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "owner@windlass.test", "-f", str(private)],
            check=True,
        )
        lab.changed = True
    return private.with_suffix(".pub").read_text().strip()


def addresses(lab: Lab, number: int) -> tuple[str, str]:
    """Return the IPv4 and IPv6 address with that number in the lab's network."""
    subnets = json.loads(podman("network", "inspect", lab.network))[0]["subnets"]
    networks = [ipaddress.ip_network(subnet["subnet"]) for subnet in subnets]
    ipv4 = next(network for network in networks if network.version == 4)
    ipv6 = next(network for network in networks if network.version == 6)
    return str(ipv4[number]), str(ipv6[number])


def start(lab: Lab, machine: str, kind: str, number: int) -> None:
    """Create the container if it is missing, start it if it is stopped, wait until systemd has come up."""
    name = lab.container(machine)
    ipv4, ipv6 = addresses(lab, number)
    state = podman("container", "inspect", "--format", "{{.State.Status}}", name, check=False)
    if not state:
        podman(
            "run", "--detach", "--name", name, "--hostname", machine, "--network", lab.network,
            "--ip", ipv4, "--ip6", ipv6, *RUN_FLAGS, image(kind), "/sbin/init",
        )  # fmt: skip
        lab.changed = True
    elif state != "running":
        podman("start", name)
        lab.changed = True
    podman("exec", name, "sh", "-c", BOOTED)


def hand_over(lab: Lab, machine: dict[str, Any], key: str) -> None:
    """Do what a provider does: host keys of the machine's own, and the owner's key for root or a sudo user."""
    user = machine.get("provider_user", "root")
    script = """
        set -eu
        if [ -e /etc/ssh/ssh_host_ed25519_key ]; then exit 0; fi
        if [ "$1" != root ]; then
          useradd --create-home --shell /bin/bash "$1"
          echo "$1 ALL=(ALL) NOPASSWD: ALL" > "/etc/sudoers.d/90-$1"
          chmod 0440 "/etc/sudoers.d/90-$1"
        fi
        home=$(getent passwd "$1" | cut -d: -f6)
        install -d -m 0700 -o "$1" -g "$1" "$home/.ssh"
        cat > "$home/.ssh/authorized_keys"
        chown "$1:" "$home/.ssh/authorized_keys"
        chmod 0600 "$home/.ssh/authorized_keys"
        ssh-keygen -q -A
        systemctl reset-failed ssh  # it may have given up while it had no key
        systemctl restart ssh
    """
    podman(
        "exec",
        "--interactive",
        lab.container(machine["name"]),
        "sh",
        "-c",
        script,
        "sh",
        user,
        text=key + "\n",
    )


def start_acme(lab: Lab) -> dict[str, str]:
    """Start Pebble; return the inventory's settings that make a server ask it."""
    start(lab, "acme", "acme", ACME_ADDRESS)
    name = lab.container("acme")
    ipv4, _ = addresses(lab, ACME_ADDRESS)
    server_ipv4, server_ipv6 = addresses(lab, PROVIDER_FIRST_ADDRESS)
    settings = f"ACME_IPV4={ipv4}\nSERVER_IPV4={server_ipv4}\nSERVER_IPV6={server_ipv6}\n"
    if not podman("exec", name, "sh", "-c", "test -e /etc/acme.env && echo there", check=False):
        podman("cp", f"{HERE}/acme", f"{name}:/opt/acme")
        podman("exec", name, "cp", "/opt/acme/acme.service", "/etc/systemd/system/acme.service")
        podman("exec", "--interactive", name, "sh", "-c", "cat > /etc/acme.env", text=settings)
        podman("exec", name, "systemctl", "enable", "--quiet", "--now", "acme")
    address_ca = lab.inventory / "acme-ca.pem"
    address_ca.write_text(wait_for_output("exec", name, "cat", "/var/lib/acme/ca.pem") + "\n")
    remember_root(lab, f"https://{ipv4}:15000/roots/0", address_ca)
    return {"letsencrypt_directory_url": f"https://{ipv4}:14000/dir", "letsencrypt_ca_file": str(address_ca)}


def wait_for_output(*arguments: str, seconds: float = 30) -> str:
    """Repeat a podman command until it prints something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if output := podman(*arguments, check=False):
            return output
        time.sleep(0.2)
    raise SystemExit(f"podman {' '.join(arguments)}: no output within {seconds:.0f} s.")


def remember_root(lab: Lab, url: str, address_ca: Path) -> None:
    """Add the test CA's root to ca.pem. Pebble makes a new root at each start; what older ones signed stays valid."""
    context = ssl.create_default_context(cafile=str(address_ca))
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, context=context, timeout=5) as response:  # noqa: S310 - always https
                root = response.read().decode().strip()
            break
        except OSError as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"the test CA does not answer at {url}: {error}") from None
            time.sleep(0.2)
    bundle = lab.inventory / "ca.pem"
    known = bundle.read_text() if bundle.exists() else ""
    if root not in known:
        bundle.write_text(known + root + "\n")
        lab.changed = True


def write_inventory(lab: Lab, key: str, settings: dict[str, str]) -> None:
    """Write hosts.yml and group_vars/all/machine.yml; JSON is YAML, and quoting is then nobody's worry."""
    known_hosts = lab.inventory / "known_hosts"
    hosts: dict[str, dict[str, str]] = {}
    groups: dict[str, dict[str, Any]] = {group: {"hosts": {}} for group in GROUPS}
    for number, machine in enumerate(lab.machines, start=PROVIDER_FIRST_ADDRESS):
        ipv4, _ = addresses(lab, number)
        if machine.get("apart"):
            write_apart(lab, machine["name"], ipv4)
            continue
        hosts[machine["name"]] = {"ansible_host": ipv4}
        if lab.connect_as == "admin":
            forget_stale_key(lab, machine["name"], ipv4, known_hosts)
        else:
            record_key(lab, machine["name"], ipv4, known_hosts)
        for group in machine.get("groups", GROUPS):
            groups.setdefault(group, {"hosts": {}})["hosts"][machine["name"]] = {}
    variables = reached_as(lab, lab.connect_as, known_hosts)
    write(lab, lab.inventory / "hosts.yml", {"all": {"vars": variables, "hosts": hosts, "children": groups}})
    machine_settings: dict[str, Any] = {"base_admin_keys": [key], **settings}
    write(lab, lab.inventory / "group_vars" / "all" / "machine.yml", machine_settings)


def reached_as(lab: Lab, user: str, known_hosts: Path) -> dict[str, str]:
    """Return the variables with which a user comes in."""
    return {
        "ansible_user": user,
        "ansible_ssh_private_key_file": str(lab.inventory / "keys" / "owner"),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={known_hosts} -o StrictHostKeyChecking=yes",
    }


def write_apart(lab: Lab, machine: str, address: str) -> None:
    """Write the inventory of a machine that is not provisioned."""
    lab.apart.mkdir(exist_ok=True)
    known_hosts = lab.apart / "known_hosts"
    record_key(lab, machine, address, known_hosts)
    hosts = {machine: {"ansible_host": address, **reached_as(lab, "root", known_hosts)}}
    write(lab, lab.apart / f"{machine}.yml", {"all": {"hosts": hosts}})


def write(lab: Lab, path: Path, content: dict[str, Any]) -> None:
    """Write a file of the inventory if its content is another."""
    text = json.dumps(content, indent=2) + "\n"
    if not path.exists() or path.read_text() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        lab.changed = True


def host_key(lab: Lab, machine: str) -> str:
    """Return the public host key as the machine itself has it."""
    words = podman("exec", lab.container(machine), "cat", "/etc/ssh/ssh_host_ed25519_key.pub").split()
    return " ".join(words[:2])


def forget_stale_key(lab: Lab, machine: str, address: str, known_hosts: Path) -> None:
    """Drop a recorded key of an earlier machine that had this address."""
    if known_hosts.exists() and host_key(lab, machine) not in known_hosts.read_text():
        subprocess.run(["ssh-keygen", "-q", "-R", address, "-f", str(known_hosts)], check=True, capture_output=True)


def record_key(lab: Lab, machine: str, address: str, known_hosts: Path) -> None:
    """Record the key of a machine that is provisioned without the part of the playbook that records it."""
    line = f"{address} {host_key(lab, machine)}\n"
    known = known_hosts.read_text() if known_hosts.exists() else ""
    if line not in known:
        kept = [old for old in known.splitlines(keepends=True) if not old.startswith(f"{address} ")]
        known_hosts.write_text("".join(kept) + line)


def wait_for_ssh(lab: Lab) -> None:
    """Wait until every machine answers at port 22."""
    for number, machine in enumerate(lab.machines, start=PROVIDER_FIRST_ADDRESS):
        address, _ = addresses(lab, number)
        deadline = time.monotonic() + 30
        while subprocess.run(["ssh-keyscan", "-T", "2", "-t", "ed25519", address], capture_output=True).stdout == b"":
            if time.monotonic() > deadline:
                raise SystemExit(f"{machine['name']} ({address}) does not answer at port 22.")
            time.sleep(0.2)


def up(lab: Lab) -> None:
    """Bring the lab up as described; whatever is there already stays as it is."""
    lab.inventory.mkdir(parents=True, exist_ok=True)
    key = owner_key(lab)
    if not podman("network", "inspect", lab.network, check=False):
        podman("network", "create", "--ipv6", lab.network)
        lab.changed = True
    for number, machine in enumerate(lab.machines, start=PROVIDER_FIRST_ADDRESS):
        start(lab, machine["name"], machine.get("image", "trixie"), number)
        hand_over(lab, machine, key)
    settings = start_acme(lab) if lab.acme else {}
    write_inventory(lab, key, settings)
    wait_for_ssh(lab)


def down(lab: Lab) -> None:
    """Remove the containers, the network, and what `up` wrote into the inventory."""
    names = podman("ps", "--all", "--format", "{{.Names}}", "--filter", f"network={lab.network}", check=False).split()
    if names:
        podman("rm", "--force", "--volumes", "--time", "2", *names)
        lab.changed = True
    if podman("network", "inspect", lab.network, check=False):
        podman("network", "rm", lab.network)
        lab.changed = True
    made = ["hosts.yml", "known_hosts", "known_hosts.old", "acme-ca.pem", "ca.pem"]
    made += ["group_vars/all/machine.yml", "keys/owner", "keys/owner.pub"]
    for name in made:
        (lab.inventory / name).unlink(missing_ok=True)
    shutil.rmtree(lab.apart, ignore_errors=True)
    keys = lab.inventory / "keys"
    if keys.is_dir() and not any(keys.iterdir()):
        keys.rmdir()


def main() -> None:
    """Read the description and do what the one argument says."""
    actions = {"up": up, "down": down}
    if len(sys.argv) != 2 or sys.argv[1] not in actions:
        raise SystemExit("usage: machines.py up|down < description.json")
    description = json.load(sys.stdin)
    description["inventory"] = Path(description["inventory"])
    lab = Lab(**description)
    os.umask(0o077)
    actions[sys.argv[1]](lab)
    if lab.changed:
        print("changed")


if __name__ == "__main__":
    main()
