"""A run of the bench: one server, the repository that its app comes from, and how something on it is timed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.support.bench.command import CACHE, BenchError, Done, fab, phases, playbook, run
from tests.support.bench.figures import Measurement, Visits
from tests.support.bench.lab import SERVER, Place, busy_seconds, floor, reached
from tests.support.fab import Fab
from tests.support.faults import Site
from tests.support.load import Load
from tests.support.repository import ROOT, Repository
from tests.support.server import Server, wait_for
from tests.support.visitor import Visitor

# One package whose every version is a download of its own: a lock that no release had, each time.
NEW_PACKAGE = "humanize"
NEW_VERSIONS = ["4.0.0", "4.1.0", "4.2.0", "4.2.3", "4.3.0", "4.4.0", "4.5.0", "4.6.0", "4.7.0", "4.8.0", "4.9.0"]


class Run:
    """The state of a run."""

    def __init__(self, repeats: int, rounds: int, say: Callable[[str], None]) -> None:
        self.repeats = repeats
        self.rounds = rounds
        self.say = say
        self.provisioned = False
        self.floor_ready = False
        self.count = 0
        self.versions = iter(NEW_VERSIONS)

    @property
    def repository(self) -> Repository:
        """The app's repository, which lies beside the inventories."""
        return Repository(CACHE / "guestbook")

    @property
    def site(self) -> Site:
        """The app's site, at no distance."""
        near = SERVER.near
        visitor = Visitor("guestbook.test", near.address, near.inventory / "ca.pem")
        return Site(Fab(near.inventory), self.repository, visitor, Server.all_of(near.inventory)["server"])

    # the server

    def ready(self) -> None:
        """Have a server that is provisioned, with two releases on it and the floor's own two."""
        if not self.provisioned:
            self.say("a server is started and provisioned")
            SERVER.up()
            playbook(SERVER.near.inventory, ROOT / "site.yml")
            self.provisioned = True
        if not self.floor_ready:
            self.say("the first releases are made")
            Repository.of_guestbook(self.repository.path)
            near = SERVER.near
            fab(near.inventory, "deploy")
            floor(near, "install", self.repository.path)
            self.new_version()
            fab(near.inventory, "deploy")
            floor(near, "deploy", self.repository.path)
            self.floor_ready = True

    def settle(self) -> None:
        """Wait until the watch of the last release is over and its old colour has ended: they would slow us."""
        watched = "test ! -e /var/lib/windlass/guestbook/watch.json"
        server = self.site.server
        wait_for(lambda: server.try_run(watched).returncode == 0, 60, "the watch is over")

    def new_version(self) -> None:
        """Commit a version that needs the same packages."""
        self.count += 1
        self.repository.set_version(f"1.0.{self.count}")

    def new_dependency(self) -> None:
        """Commit a version that needs one package which the server has not seen."""
        version = next(self.versions, "")
        if not version:
            raise BenchError(f"no version of {NEW_PACKAGE} is left that the server has not seen: fewer repeats, please")
        uv = [f"{ROOT}/.venv/bin/uv", "add", "--quiet", "--no-sync", "--project", str(self.repository.path)]
        run([*uv, f"{NEW_PACKAGE}=={version}"], limit=120)
        self.new_version()

    def under_load(self, action: Callable[[], Done]) -> Visits:
        """Do something once more, with visitors on the site from a second before to a second after."""
        with Load(self.site.visitor) as load:
            time.sleep(1)
            done = action()
            time.sleep(1)
        if len(load.samples) < 50:
            raise BenchError(f"there was no load to speak of: {len(load.samples)} requests")
        lost = load.failures
        first = f"{lost[0].kind}: {lost[0].error}" if lost else ""
        worst = round(load.worst_seconds(), 3)
        return Visits(round(done.seconds, 3), len(load.samples), len(lost), worst, first)

    @contextmanager
    def measuring(self, name: str, round_trip_ms: int, beside: str) -> Iterator[tuple[Measurement, Place]]:
        """Give an empty measurement and the way to the server."""
        self.ready()
        with reached(SERVER, round_trip_ms) as place:
            yield Measurement(name, round_trip_ms, beside), place

    def repeat(
        self,
        found: Measurement,
        action: Callable[[], Done],
        beside: Callable[[], Done],
        prepare: Callable[[], object] = lambda: None,
    ) -> None:
        """Time an action and what is beside it, in turns; what prepares them is not timed."""
        for _ in range(self.repeats):
            prepare()
            self.settle()
            found.note_load()
            busy = [busy_seconds(SERVER.near)]
            done = action()
            busy.append(busy_seconds(SERVER.near))
            floor_done = beside()
            busy.append(busy_seconds(SERVER.near))
            found.times.append(round(done.seconds, 3))
            found.beside_times.append(round(floor_done.seconds, 3))
            found.processor.append(round(busy[1] - busy[0], 3))
            found.beside_processor.append(round(busy[2] - busy[1], 3))
            found.phases = phases(done)
            self.say(f"  {found.name}: {found.times[-1]:.2f} s, beside it {found.beside_times[-1]:.2f} s")
