"""The verb `fab plan`, and the plan that `fab deploy --plan` begins with."""

from __future__ import annotations

from windlass import inventory, source
from windlass.driver import request
from windlass.errors import Status
from windlass.inventory import App
from windlass.output import Screen
from windlass.plan.plan import Plan, judge
from windlass.plan.screen import View
from windlass.source import Archive, Source
from windlass.verbs import call, source_of, verb


@verb
def plan(
    app: str | None, version: str | None, env: str | None, as_json: bool, whole_sql: bool, verbose: bool = False
) -> int:
    """Show what a release would bring, and change nothing."""
    screen, environment = Screen(verbose), inventory.load(env)
    chosen = environment.app(app)
    found = source_of(environment, chosen, version)
    for note in found.notes:
        screen.note(note)
    with source.archive(found, chosen.repository) as archive:
        made = make(screen, chosen, found, archive)
    if as_json:
        screen.json(made.as_json())
    else:
        show(screen, made, whole_sql)
    return Status.DONE


def make(screen: Screen, chosen: App, found: Source, archive: Archive) -> Plan:
    """Let the app's first server build the version and look at it, and judge what it found."""
    upload = {"size": archive.size, "sha256": archive.sha256}
    host = chosen.hosts[0]
    message = request("plan", chosen.name, commit=found.commit, version=found.version, archive=upload)
    return judge(chosen, host.name, found, archive, call(host, screen, message, archive, app=chosen))


def show(screen: Screen, made: Plan, whole_sql: bool = False) -> None:
    """Print a plan for a person."""
    screen.line()
    for line in View(made, screen.out, whole_sql).lines():
        screen.result(line)
