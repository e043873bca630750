"""What the verbs of `fab` do: one function a verb, which returns the exit status."""

from __future__ import annotations

import functools
import re
import shlex
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, ParamSpec

from windlass import entry, inventory, messages, output, source, ways_back
from windlass.driver import Call, Event, ServerError, request
from windlass.errors import Status, WindlassError
from windlass.hooks import Hooks
from windlass.inventory import App, Environment, Host
from windlass.output import Screen
from windlass.ways_back import Ways

P = ParamSpec("P")

_RELEASE = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{7,12}")
_PROCESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")


def verb(function: Callable[P, int]) -> Callable[P, int]:
    """Turn errors into their line and exit status."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> int:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # from here on it is an error like others
        try:
            return function(*args, **kwargs)
        except WindlassError as error:
            output.show_error(error, error.log)
            return error.status
        except BrokenPipeError:
            sys.stdout = None  # nobody reads any more
            return Status.FAILED
        except KeyboardInterrupt:
            output.show_error(messages.interrupted(under_way=False))
            return Status.INTERRUPTED

    return wrapper


def call(
    host: Host,
    screen: Screen,
    message: Event,
    archive: source.Archive | None = None,
    on_output: Callable[[Event], None] | None = None,
    hooks: Hooks | None = None,
    app: App | None = None,
) -> Event:
    """Connect to a host, make one request and return the data of its result.

    With an app it is told where the host's idea of the app's entry is not that of the inventory.
    """
    from windlass.connection import Link

    def compare(event: Event) -> None:
        if app and (keys := entry.differing(app.told, app.env, event)):
            screen.note(messages.note_entry_differs(app.name, host.name, keys))

    return Call(Link(host), host.name, screen, on_output, hooks, compare).run(message, archive)


@verb
def deploy(
    app: str | None,
    version: str | None,
    env: str | None,
    verbose: bool,
    wait: bool = False,
    watch: bool = False,
    plan: bool = False,
    yes: bool = False,
) -> int:
    """Release a version of an app on each of its servers; after its plan, when that is wanted and agreed to."""
    screen, environment = Screen(verbose), inventory.load(env)
    chosen = environment.app(app)
    found = source_of(environment, chosen, version)
    for note in found.notes:
        screen.note(note)
    screen.line(f"{chosen.name} {found.version} ({found.commit[:9]})")
    hooks = Hooks(chosen, environment.path, "deploy", screen, found.version, found.commit)
    with source.archive(found, chosen.repository) as archive:
        upload = {"size": archive.size, "sha256": archive.sha256}
        if plan:
            _plan_first(screen, chosen, found, archive, yes)
        hooks.run("before-deploy", can_refuse=True)

        def act(host: Host, release: str | None) -> Event:
            first = host == chosen.hosts[0]
            message = request(
                "deploy",
                chosen.name,
                commit=found.commit,
                version=found.version,
                archive=upload,
                release=release,
                release_command=first,
                wait=wait,
                watch=watch,
            )
            hooks.run("before-check", can_refuse=True, host=host.name)
            return call(host, screen, message, archive, hooks=hooks, app=chosen)

        _everywhere(chosen, screen, act, hooks)
    screen.result(f"https://{chosen.domains[0]}/")
    hooks.settle()
    return Status.DONE


def _plan_first(screen: Screen, app: App, found: source.Source, archive: source.Archive, yes: bool) -> None:
    """Show the plan of a release, and go on only if that is wanted."""
    from windlass import confirm
    from windlass.plan import verb as planning

    planning.show(screen, planning.make(screen, app, found, archive))
    confirm.ask(f"release {app.name} {found.version} ({found.commit[:9]})?", yes)


@verb
def rollback(
    app: str | None, to: str | None, env: str | None, verbose: bool, wait: bool = False, ways: Ways | None = None
) -> int:
    """Go back to an earlier release on each of the app's servers."""
    ways = ways or Ways()
    ways.check()
    if to is not None and not _RELEASE.fullmatch(to):
        raise messages.bad_release(to)
    screen, environment = Screen(verbose), inventory.load(env)
    chosen = environment.app(app)
    hooks = Hooks(chosen, environment.path, "rollback", screen)
    hooks.run("before-rollback", can_refuse=True, release=to or "")

    def act(host: Host, release: str | None) -> Event:
        hooks.run("before-check", can_refuse=True, host=host.name)
        message = request("rollback", chosen.name, to=release or to, wait=wait, **ways.asked_for)
        return ways_back.go(lambda host, message: call(host, screen, message, hooks=hooks), host, message, others)

    others = ways_back.Others(chosen, screen, lambda host, message: call(host, screen, message))
    try:
        _everywhere(chosen, screen, act, hooks)
    finally:
        others.open()
    hooks.settle()
    return Status.DONE


@verb
def restart(app: str | None, env: str | None, verbose: bool) -> int:
    """Start the live release again, without a gap."""
    screen, chosen = Screen(verbose), inventory.load(env).app(app)
    _everywhere(chosen, screen, lambda host, _: call(host, screen, request("restart", chosen.name)))
    return Status.DONE


def source_of(environment: Environment, app: App, version: str | None) -> source.Source:
    """Find the commit of a version, the one of the app's entry when none is named."""
    key = app.version_at if version is None else ""
    version = app.version if version is None else version
    return source.resolve(app.repository, version, app.directory, environment.path, app.where, app.name, key)


def _everywhere(app: App, screen: Screen, act: Callable[[Host, str | None], Event], hooks: Hooks | None = None) -> None:
    """Act on the app's hosts in order, the later ones with the release of the first; stop where one fails."""
    first: Event = {}
    done: list[str] = []
    refusal: WindlassError | None = None
    for host in app.hosts:
        if len(app.hosts) > 1:
            screen.heading(host.name)
        started = time.monotonic()
        try:
            data = act(host, first.get("release"))
        except WindlassError as error:
            if len(app.hosts) > 1 and isinstance(error, ServerError) and error.code == "already-live":
                refusal = error
                screen.note(error.message)
                continue
            raise _stopped(app, screen, error, done, first) from error
        first = first or data
        done.append(host.name)
        seconds = time.monotonic() - started
        screen.result(f"{app.name}: {data.get('release', 'its release')} is live on {host.name} after {seconds:.1f} s")
        if hooks:
            hooks.count(data.get("failed_hooks") or [])
    if refusal and not done:
        raise refusal
    if hooks:
        hooks.run(f"after-{hooks.action}", can_refuse=False, release=str(first.get("release") or ""))


def _stopped(app: App, screen: Screen, error: WindlassError, done: list[str], first: Event) -> WindlassError:
    """Say what runs where after a failure on one of several hosts, and return what ends the verb."""
    if len(app.hosts) > 1:
        _report(app, screen)
    if not done:
        return error
    return messages.stopped_midway(error, done, str(first.get("release")), str(first.get("previous") or ""))


def _report(app: App, screen: Screen) -> None:
    """Say which host runs which release, after a failure in the middle."""
    screen.line("what runs where:")
    for host in app.hosts:
        try:
            state = call(host, screen, request("status", app.name)).get("release") or "no release"
        except WindlassError as error:
            state = f"unknown ({error.message})"
        screen.line(f"  {host.name}: {state}")


def _ask_all(
    screen: Screen, environment: Environment, app: str | None, action: str
) -> tuple[list[Event], WindlassError | None]:
    """Ask about each app on each of its servers; return the answers, and the first refusal."""
    answers: list[Event] = []
    refusal: WindlassError | None = None
    for chosen in environment.selection(app):
        for host in chosen.hosts:
            try:
                data = call(host, screen, request(action, chosen.name))
            except ServerError as error:
                refusal = refusal or error
            else:
                answers.append({**data, "app": chosen.name, "host": host.name, "domains": list(chosen.domains)})
    if refusal and not answers:
        raise refusal
    return answers, refusal


@verb
def releases(app: str | None, env: str | None, as_json: bool) -> int:
    """List the releases on each server, newest first."""
    screen, environment = Screen(), inventory.load(env)
    answers, refusal = _ask_all(screen, environment, app, "releases")
    rows = [
        {"app": answer["app"], "host": answer["host"], **row}
        for answer in answers
        for row in answer.get("releases") or []
    ]
    if as_json:
        screen.json(rows)
    elif not rows:
        screen.result("no release yet; fab deploy makes the first")
    else:
        _print_releases(screen, environment, rows)
    if refusal:
        raise refusal
    return Status.DONE


def _head(row: Event) -> str:
    """Return the migrations that a release ran with, short: Django has one for each of its apps."""
    names = [str(name) for name in row.get("head") or []]
    return " ".join(names) if len(names) < 3 else f"{names[-1]} and {len(names) - 1} more"


def _print_releases(screen: Screen, environment: Environment, rows: list[Event]) -> None:
    columns = ["release", "status", "version", "by", "started", "seconds", "head", "snapshot"]
    rows = [
        row | {"head": _head(row), "snapshot": output.size((row.get("snapshot") or {}).get("bytes"))} for row in rows
    ]
    if any(row.get("error") for row in rows):
        columns.append("error")
    if len(environment.hosts) > 1:
        columns.insert(0, "host")
    if len(environment.apps) > 1:
        columns.insert(0, "app")
    for line in output.table(rows, columns):
        screen.result(line)


@verb
def status(app: str | None, env: str | None, as_json: bool) -> int:
    """Show what runs on each server, and a deploy that is under way."""
    screen, environment = Screen(), inventory.load(env)
    states, refusal = _ask_all(screen, environment, app, "status")
    if as_json:
        screen.json(states[0] if len(states) == 1 and not refusal else states)
    else:
        for state in states:
            _print_status(screen, state)
    if refusal:
        raise refusal
    return Status.DONE


def _print_status(screen: Screen, state: Event) -> None:
    release = state.get("release")
    shown = f"{release} ({state.get('version') or state.get('commit')})" if release else "no release yet"
    screen.result(f"{state['app']} on {state['host']}: {shown}")
    if deploying := state.get("deploy"):
        what = " ".join(f"{key} {deploying[key]}" for key in ("version", "phase", "by", "since") if deploying.get(key))
        screen.result(f"  deploy under way: {what}")
    if state.get("maintenance"):
        screen.result(f"  maintenance mode is on: visitors get its page until fab maintenance off --app {state['app']}")
    if watched := state.get("watch"):
        old = watched.get("old")
        screen.result(f"  watched until {watched.get('until')}; {old} is kept ready, and takes over if it fails")
    if back := state.get("switched_back"):
        screen.result(f"  {back.get('release')} was taken back at {back.get('at')}: {back.get('reason')}")
    processes = [{**row, "up": output.duration(row.get("uptime_s"))} for row in state.get("processes") or []]
    if processes:
        for line in output.table(processes, ["name", "state", "pid", "up", "release"]):
            screen.result(f"  {line}")
    if scheduled := state.get("cron"):
        rows = [{**row, "scheduled": row.get("name")} for row in scheduled]
        for line in output.table(rows, ["scheduled", "next", "last", "result"]):
            screen.result(f"  {line}")


@verb
def run(command: str, app: str | None, env: str | None) -> int:
    """Run a command in the app's environment, on its first server, and return the command's status."""
    if not command.strip():
        raise messages.no_command()
    screen, chosen = Screen(), inventory.load(env).app(app)

    def show(event: Event) -> None:
        stream = sys.stderr if event.get("stream") == "stderr" else sys.stdout
        print(event.get("line", ""), file=stream, flush=True)

    data = call(chosen.hosts[0], screen, request("run", chosen.name, command=command), on_output=show)
    return int(data.get("status", 0))


@verb
def logs(app: str | None, process: str | None, follow: bool, lines: str, env: str | None) -> int:
    """Print the app's log, of one server after the other; followed, of the first."""
    if not lines.isdecimal():
        raise messages.not_a_number("lines", lines)
    if process is not None and not _PROCESS.fullmatch(process):
        raise messages.bad_process(process)
    screen, chosen = Screen(), inventory.load(env).app(app)
    several = len(chosen.hosts) > 1
    seen = False
    known: set[str] = set()

    def show(event: Event) -> None:
        nonlocal seen
        seen = True
        print(output.printable(str(event.get("line", ""))), flush=True)

    for host in chosen.hosts[:1] if follow else chosen.hosts:
        if several:
            screen.heading(host.name)
        message = request("logs", chosen.name, process=process, follow=follow, lines=int(lines))
        try:
            known.update(map(str, call(host, screen, message, on_output=show).get("processes") or []))
        except WindlassError as error:
            if error.status != Status.INTERRUPTED:
                raise
    if process and not seen and not follow:
        screen.note(messages.note_no_lines_of(process, sorted(known)))
    return Status.DONE


@verb
def check(app: str | None, version: str | None, env: str | None) -> int:
    """Find out whether a deploy could succeed from here, and change nothing."""
    screen, environment = Screen(), inventory.load(env)
    good = True
    screen.result(_finding({"name": "inventory", "ok": True, "message": shlex.quote(str(environment.path))}))
    for chosen in environment.selection(app):
        good &= _check_source(screen, environment, chosen, version)
        for host in chosen.hosts:
            good &= _check_host(screen, chosen, host)
    return Status.DONE if good else Status.FAILED


def _check_source(screen: Screen, environment: Environment, app: App, version: str | None) -> bool:
    name = f"{app.name} source"
    try:
        found = source_of(environment, app, version)
    except WindlassError as error:
        screen.result(_finding({"name": name, "ok": False, "message": error.message, "hint": error.hint}))
        return False
    screen.result(_finding({"name": name, "ok": True, "message": f"{found.version} is {found.commit[:9]}"}))
    for note in found.notes:
        screen.note(note)
    return _check_start(screen, app, found)


def _check_start(screen: Screen, app: App, found: source.Source) -> bool:
    from windlass import start
    from windlass.server.errors import Failure

    finding: dict[str, Any] = {"name": f"{app.name} processes", "ok": True}
    try:
        finding["message"] = ", ".join(start.processes(app, found))
    except Failure as failure:
        finding |= {"ok": False, "message": failure.message, "hint": failure.hint}
    screen.result(_finding(finding))
    return bool(finding["ok"])


def _check_host(screen: Screen, app: App, host: Host) -> bool:
    where = f"{app.name} on {host.name}"
    try:
        findings: list[dict[str, Any]] = call(host, screen, request("check", app.name), app=app).get("checks") or []
    except ServerError as error:
        message = error.message.removeprefix(f"{host.name}: ")
        findings = [{"name": error.code, "ok": False, "message": message, "hint": error.hint}]
    except WindlassError as error:
        findings = [{"name": "connection", "ok": False, "message": error.message, "hint": error.hint}]
    for finding in findings:
        screen.result(_finding({**finding, "name": f"{where}: {finding.get('name')}"}))
    return all(finding.get("ok") for finding in findings)


def _finding(finding: dict[str, Any]) -> str:
    mark = output.paint("ok  ", "green", sys.stdout) if finding.get("ok") else output.paint("FAIL", "red", sys.stdout)
    text = f"{mark}  {finding['name']}: {finding.get('message') or 'fine'}"
    if finding.get("hint") and not finding.get("ok"):
        text += f"; {output.whole(finding['hint'])}"
    return output.printable(text) if not sys.stdout.isatty() else text
