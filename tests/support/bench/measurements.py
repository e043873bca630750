"""What is measured, each beside its floor in the same run."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from tests.support.bench.command import CACHE, Done, fab, phases, playbook, run, slowest_tasks
from tests.support.bench.figures import Disk, Measurement, Row
from tests.support.bench.lab import (
    BARE,
    SERVER,
    Asked,
    Place,
    ask,
    floor,
    install,
    packages,
    reached,
    write_main,
)
from tests.support.bench.run import Run
from tests.support.load.series import run_series
from tests.support.repository import ROOT, Repository

KEPT_CONNECTIONS = 16


class Bench(Run):
    """The measurements, each of them a method."""

    def first_provision(self, round_trip_ms: int) -> Measurement:
        """A fresh server, and the bare transaction of the same packages on another one."""
        found = Measurement("first-provision", round_trip_ms, "apt-get install of the same packages")
        self.provisioned = self.floor_ready = False
        SERVER.up()
        found.note_load()
        with reached(SERVER, round_trip_ms) as place:
            done = playbook(place.inventory, ROOT / "site.yml", ANSIBLE_CALLBACKS_ENABLED="ansible.posix.profile_tasks")
            if round_trip_ms:
                SERVER.near.learn_key(place)
            there = packages(place, "admin")
        found.times.append(round(done.seconds, 3))
        found.slowest_tasks = slowest_tasks(done)
        self.provisioned = True
        self.say(f"  first-provision: {done.seconds:.1f} s")
        BARE.up()
        try:
            with reached(BARE, round_trip_ms) as place:
                added = there - packages(place, "root")
                found.beside_times.append(round(install(place, added).seconds, 3))
            found.notes["packages"] = len(added)
        finally:
            BARE.down()
        return found

    def second_provision(self, round_trip_ms: int) -> Measurement:
        """The same again, which changes nothing, and its plays without their roles."""
        with self.measuring("second-provision", round_trip_ms, "the same plays without roles") as (found, place):
            empty = CACHE / "nothing.yml"
            empty.write_text(yaml.safe_dump(plays_without_roles()))

            def provision(**variables: str) -> Done:
                done = playbook(place.inventory, ROOT / "site.yml", **variables)
                changed = re.findall(r"changed=(\d+)", done.output)
                found.notes["changed"] = found.notes.get("changed", 0) + sum(map(int, changed))
                return done

            self.repeat(found, provision, lambda: playbook(place.inventory, empty))
            found.phases = {}

            def profiled() -> Done:
                done = provision(ANSIBLE_CALLBACKS_ENABLED="ansible.posix.profile_tasks")
                found.slowest_tasks = slowest_tasks(done)
                return done

            found.visits = self.under_load(profiled)
            return found

    def deploy(self, round_trip_ms: int) -> Measurement:
        """A new version that needs the packages of the last one."""
        return self._release("deploy", round_trip_ms, self.new_version, "deploy")

    def deploy_dependency(self, round_trip_ms: int) -> Measurement:
        """A new version that needs one package more, which is not on the server."""
        return self._release("deploy-dependency", round_trip_ms, self.new_dependency, "install")

    def _release(self, name: str, round_trip_ms: int, commit: Callable[[], None], mode: str) -> Measurement:
        with self.measuring(name, round_trip_ms, "a shell script") as (found, place):

            def deploy() -> Done:
                return fab(place.inventory, "deploy")

            self.repeat(found, deploy, lambda: floor(place, mode, self.repository.path), commit)
            commit()
            found.visits = self.under_load(deploy)
            return found

    def rollback(self, round_trip_ms: int) -> Measurement:
        """Back to the release before, whose processes have ended."""
        with self.measuring("rollback", round_trip_ms, "a shell script") as (found, place):

            def rollback() -> Done:
                return fab(place.inventory, "rollback")

            def beside() -> Done:
                return floor(place, "rollback", self.repository.path)

            self.repeat(found, rollback, beside, lambda: self._release_again(place))
            self._release_again(place)
            self.settle()
            found.visits = self.under_load(rollback)
            return found

    def rollback_warm(self, round_trip_ms: int) -> Measurement:
        """Back while the release before is kept ready; and the same asked on the server itself, by its own clock."""
        with self.measuring("rollback-warm", round_trip_ms, "") as (found, place):
            asked: list[Asked] = []
            for _ in range(self.repeats):
                self._release_again(place)
                found.note_load()
                done = fab(place.inventory, "rollback")
                found.times.append(round(done.seconds, 3))
                found.phases = phases(done)
                self._release_again(place)
                asked.append(ask(place, {"action": "rollback", "app": "guestbook"}))
                on_server = f"{asked[-1].switched:.2f} s to the switch, {asked[-1].told:.2f} s to the result"
                self.say(f"  rollback-warm: {found.times[-1]:.2f} s, on the server {on_server}")
            for name in ("switched", "told", "whole"):
                found.notes[f"server_{name}"] = [round(getattr(one, name), 3) for one in asked]
            self._release_again(place)
            found.visits = self.under_load(lambda: fab(place.inventory, "rollback"))
            return found

    def _release_again(self, place: Place) -> None:
        self.new_version()
        fab(place.inventory, "deploy")

    def releases(self) -> Row:
        """Deploys and rollbacks in a row under hard load, of the guestbook as it comes."""
        return self._row("releases")

    def releases_queue(self) -> Row:
        """The same with processes that take one request at a time, so that the others wait in the socket's queue."""
        return self._row("releases-queue", one_at_a_time=True)

    def releases_kept(self) -> Row:
        """The same with connections that nginx keeps to the app."""
        self.ready()
        near = SERVER.near.inventory
        try:
            self._provision_kept(near, KEPT_CONNECTIONS)
            return self._row("releases-kept")
        finally:
            self._provision_kept(near, 0)

    def _provision_kept(self, inventory: Path, connections: int) -> None:
        write_main(inventory, upstream_keepalive=connections)
        playbook(inventory, ROOT / "site.yml")

    def _row(self, name: str, *, one_at_a_time: bool = False) -> Row:
        self.ready()
        Repository.of_guestbook(self.repository.path)
        series = run_series(self.site, self.rounds, one_at_a_time=one_at_a_time)
        failed, wrong = series.failed, series.wrong
        lines = [*series.report(), *(f"failed: {one}" for one in failed[:10]), *(f"wrong: {one}" for one in wrong[:10])]
        worst = round(max(one.seconds for one in series.samples), 3)
        Repository.of_guestbook(self.repository.path)
        return Row(name, lines, len(series.rollouts), len(series.samples), len(failed), len(wrong), worst)

    def disk(self) -> Disk:
        """One more release, of a version that needs the packages of the last one."""
        self.ready()
        near = SERVER.near
        for _ in range(2):
            self.new_version()
            fab(near.inventory, "deploy")
            floor(near, "deploy", self.repository.path)
        alone, more = self._sizes("/srv/guestbook/releases")
        _, floor_more = self._sizes("/srv/floor/releases")
        return Disk(release=more, floor=floor_more, release_alone=alone)

    def _sizes(self, folder: str) -> tuple[int, int]:
        """Return the bytes of the last release but one, and those that the last one adds to it."""
        script = f"cd {folder} && du --summarize --block-size=1 $(ls | tail -n 2)"
        asked = run(SERVER.near.ssh("admin", f"sudo sh -c '{script}'"), limit=60)
        before, last = [int(line.split()[0]) for _, line in asked.lines][-2:]
        return before, last


def plays_without_roles() -> list[dict[str, Any]]:
    """Return the plays of site.yml with their hosts, connections and facts, and nothing else."""
    kept = ("name", "hosts", "connection", "become", "gather_facts", "gather_subset")
    plays: list[dict[str, Any]] = []
    for imported in yaml.safe_load((ROOT / "site.yml").read_text()):
        file = ROOT / imported["ansible.builtin.import_playbook"]
        for play in yaml.safe_load(Path(file).read_text()):
            plays.append({key: play[key] for key in kept if key in play})
    return plays
