"""The servers that are measured: containers reached by SSH, at no distance or through a proxy that makes them far."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.bench.command import BIN, CACHE, BenchError, Done, environment, run
from tests.support.distance import proxy
from tests.support.repository import ROOT

# What an owner would write; machine.yml and hosts.yml come from molecule/shared.
MAIN = """\
admin_email: admin@localhost

apps:
  - name: guestbook
    domains: [guestbook.test]
    repository: ../guestbook
    version: main
    health_path: /healthz
    health_timeout: 120
    services: [postgresql]
    static: {/static: guestbook/static}
    watch_seconds: 10
    upstream_keepalive: {upstream_keepalive}
    env:
      FLASK_CONFIG: unix
      GUESTBOOK_TEST_ROUTES: "1"
      SECRET_KEY: for-measurements-only
"""
PROXY_SECONDS = 1800
# By the server's clock: when it has the request, when `sudo` gives way to the program, and when that has ended.
ASK = """
date +%s.%N
printf '%s\\n' {request} | sudo sh -c 'date +%s.%N; exec /usr/local/sbin/windlass'
date +%s.%N
"""


@dataclass(frozen=True)
class Place:
    """A server as it is reached from here: by the inventory in this directory."""

    inventory: Path
    address: str
    port: int = 22

    @property
    def key_name(self) -> str:
        """The server's name in a known_hosts file."""
        return self.address if self.port == 22 else f"[{self.address}]:{self.port}"

    def ssh(self, user: str, command: str) -> list[str]:
        """Return the command that runs another on the server, over a connection of its own."""
        options = ["ControlPath=none", "BatchMode=yes", "StrictHostKeyChecking=yes"]
        options.append(f"UserKnownHostsFile={self.inventory / 'known_hosts'}")
        words = [word for option in options for word in ("-o", option)]
        key = str(self.inventory / "keys" / "owner")
        return ["ssh", *words, "-i", key, "-p", str(self.port), f"{user}@{self.address}", command]

    def learn_key(self, other: Place) -> None:
        """Record the server's key, which another way to it has recorded."""
        lines = (other.inventory / "known_hosts").read_text().splitlines()
        keys = [line.split(maxsplit=1)[1] for line in lines if line.split()[0] == other.key_name]
        (self.inventory / "known_hosts").write_text("".join(f"{self.key_name} {key}\n" for key in keys))


@dataclass(frozen=True)
class Lab:
    """One server of the label, started and removed by molecule/shared."""

    label: str
    acme: bool
    connect_as: str

    @property
    def inventory(self) -> Path:
        """The inventory that reaches it at no distance."""
        return CACHE / self.label

    @property
    def near(self) -> Place:
        """The server at no distance; the machine must be up."""
        hosts = json.loads((self.inventory / "hosts.yml").read_text())["all"]["hosts"]
        return Place(self.inventory, str(hosts["server"]["ansible_host"]))

    def up(self) -> None:
        """Start the server, fresh."""
        self.down()
        write_main(self.inventory)
        self._play("create.yml")
        time.sleep(1)

    def down(self) -> None:
        """Remove it."""
        self._play("destroy.yml")
        shutil.rmtree(self.inventory, ignore_errors=True)

    def _play(self, name: str) -> None:
        # Two clones on one machine do not take each other's servers.
        label = f"{self.label}-{hashlib.sha1(str(ROOT).encode(), usedforsecurity=False).hexdigest()[:6]}"
        lab = {
            "label": label,
            "inventory": str(self.inventory),
            "acme": self.acme,
            "connect_as": self.connect_as,
            "machines": [{"name": "server"}],
        }
        command = [
            f"{BIN}/ansible-playbook",
            f"{ROOT}/molecule/shared/{name}",
            "--extra-vars",
            json.dumps({"lab": lab}),
        ]
        run(command, limit=600)


SERVER = Lab("bench", acme=True, connect_as="admin")
BARE = Lab("bench-bare", acme=False, connect_as="root")


def write_main(inventory: Path, *, upstream_keepalive: int = 0) -> None:
    """Write what the owner of the inventory would."""
    folder = inventory / "group_vars" / "all"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "main.yml").write_text(MAIN.replace("{upstream_keepalive}", str(upstream_keepalive)))


@contextmanager
def reached(lab: Lab, round_trip_ms: int) -> Iterator[Place]:
    """Give a way to the server at a distance, with an inventory of its own while the block runs."""
    near = lab.near
    if not round_trip_ms:
        yield near
        return
    inventory = CACHE / f"{lab.label}-{round_trip_ms}ms"
    shutil.rmtree(inventory, ignore_errors=True)
    shutil.copytree(near.inventory, inventory)
    with proxy(near.address, near.port, round_trip_ms, PROXY_SECONDS) as port:
        place = Place(inventory, "127.0.0.1", port)
        hosts = json.loads((inventory / "hosts.yml").read_text())
        hosts["all"]["hosts"]["server"] = {"ansible_host": place.address, "ansible_port": port}
        common = f"-o UserKnownHostsFile={inventory / 'known_hosts'} -o StrictHostKeyChecking=yes"
        hosts["all"]["vars"]["ansible_ssh_common_args"] = common
        (inventory / "hosts.yml").write_text(json.dumps(hosts))
        if (near.inventory / "known_hosts").exists():
            place.learn_key(near)
        yield place
    shutil.rmtree(inventory)


def packages(place: Place, user: str) -> set[str]:
    """Return the packages that are installed on the server."""
    shown = "dpkg-query --show --showformat '${db:Status-Abbrev} ${binary:Package}\\n'"
    asked = run(place.ssh(user, shown), limit=60)
    return {line.split()[-1] for _, line in asked.lines if line.startswith("ii")}


def install(place: Place, names: set[str]) -> Done:
    """Install packages in one transaction, by one command over one connection."""
    chosen = " ".join(shlex.quote(name) for name in sorted(names))
    script = (
        "export DEBIAN_FRONTEND=noninteractive; apt-get -q update && "
        f"apt-get -q -y install --no-install-recommends {chosen}"
    )
    return run(place.ssh("root", script), limit=900)


def floor(place: Place, mode: str, repository: Path) -> Done:
    """Run floor.sh on the server, with the archive of the repository's commit on its input."""
    script = (Path(__file__).parent / "floor.sh").read_text()
    remote = place.ssh("admin", f"sudo bash -c {shlex.quote(script)} floor {mode}")
    archive = ["git", "-C", str(repository), "archive", "--format=tar.gz", "HEAD"]
    line = shlex.join(remote) + " </dev/null" if mode == "rollback" else f"{shlex.join(archive)} | {shlex.join(remote)}"
    return run(["bash", "-o", "pipefail", "-c", line], limit=300, env=environment())


@dataclass(frozen=True)
class Asked:
    """How long the server took by its own clock (seconds).

    From the start of the release program until visitors had the other release, and until the result was told; and
    from the request, with `sudo`, until the program had ended.
    """

    switched: float
    told: float
    whole: float


def ask(place: Place, request: dict[str, object]) -> Asked:
    """Have the release program act, asked on the server itself: no connection is in the times, its own start is."""
    line = json.dumps({"protocol": 1, "by": "bench", **request})
    done = run(place.ssh("admin", ASK.format(request=shlex.quote(line))), limit=120)
    asked, began, *lines, ended = [line for _, line in done.lines]
    events = [json.loads(line) for line in lines]
    if not events[-1].get("ok"):
        raise BenchError(f"{request['action']} failed: {lines[-1]}")
    switched = next(event["at"] for event in events if (event.get("phase"), event.get("status")) == ("switch", "done"))
    return Asked(switched - float(began), events[-1]["at"] - float(began), float(ended) - float(asked))


def busy_seconds(place: Place) -> float:
    """Return how long the server's processors have been busy since it started."""
    asked = run(place.ssh("admin", "cat /sys/fs/cgroup/cpu.stat"), limit=60)
    return int(asked.lines[0][1].split()[1]) / 1e6
