"""The verbs of `fab`. What they do is in windlass/verbs.py, which is imported only when a verb runs."""

from __future__ import annotations

import atexit
import gc
import os
import re
import signal
import sys
from collections.abc import Callable
from typing import Any

from invoke import Context, Exit, ParseError, Program
from invoke import task as invoke_task

APP = "name of the app; needed when the inventory has several"
ENV = "an inventory: a folder of inventories/, or a path (default: that of ansible.cfg)"
WAIT = "while somebody else deploys, wait instead of ending with status 5"
VERBOSE = "show what the build and the app's commands print"


def interrupted(*_: object) -> None:
    """End at Ctrl-C while the arguments are read and a verb's modules are imported: nothing was begun."""
    sys.stderr.write("error: interrupted; nothing was changed\n")
    sys.stderr.flush()
    os._exit(130)


signal.signal(signal.SIGINT, interrupted)
# A verb is short: to look for garbage while modules load, and in all of them at the end, takes a third of a second.
gc.set_threshold(100_000, 50, 50)
atexit.register(gc.freeze)


def task(**options: Any) -> Callable[..., Any]:
    """Make a verb of a function: long options only, and its status becomes that of `fab`."""
    decorate: Callable[..., Any] = invoke_task(auto_shortflags=False, **options)
    return decorate


def end(status: int) -> None:
    """End `fab` with a status."""
    if status:
        raise Exit(code=int(status))


@task(
    help={
        "app": APP,
        "version": "branch, tag or commit (default: the app's entry)",
        "env": ENV,
        "verbose": VERBOSE,
        "wait": WAIT,
        "watch": "stay until the watch of the new release has ended",
        "plan": "show the plan first, and ask",
        "yes": "go on without asking",
    }
)
def deploy(
    _: Context,
    app: str = "",
    version: str = "",
    env: str = "",
    verbose: bool = False,
    wait: bool = False,
    watch: bool = False,
    plan: bool = False,
    yes: bool = False,
) -> None:
    """Release a version of an app, without a lost request."""
    from windlass import verbs

    end(verbs.deploy(app or None, version or None, env or None, verbose, wait, watch, plan, yes))


@task(
    help={
        "app": APP,
        "version": "branch, tag or commit (default: the app's entry)",
        "env": ENV,
        "json": "print a JSON object",
        "sql": "show all of the migrations' SQL",
        "verbose": VERBOSE,
    }
)
def plan(
    _: Context,
    app: str = "",
    version: str = "",
    env: str = "",
    json: bool = False,
    sql: bool = False,
    verbose: bool = False,
) -> None:
    """Show what a release would bring: commits, packages, migrations, settings; changes nothing."""
    from windlass.plan import verb

    end(verb.plan(app or None, version or None, env or None, json, sql, verbose))


@task(
    help={
        "app": APP,
        "to": "a release of `fab releases` (default: the last good one)",
        "env": ENV,
        "verbose": VERBOSE,
        "wait": WAIT,
        "downgrade": "undo the migrations that the older release does not have",
        "restore-snapshot": "restore the copy of the database from before them; says what is lost, and asks",
        "yes": "do not ask",
    }
)
def rollback(
    _: Context,
    app: str = "",
    to: str = "",
    env: str = "",
    verbose: bool = False,
    wait: bool = False,
    downgrade: bool = False,
    restore_snapshot: bool = False,
    yes: bool = False,
) -> None:
    """Go back to an earlier release, without a lost request."""
    from windlass import verbs, ways_back

    ways = ways_back.Ways(downgrade, restore_snapshot, yes)
    end(verbs.rollback(app or None, to or None, env or None, verbose, wait, ways))


@task(help={"app": APP, "env": ENV, "verbose": VERBOSE})
def restart(_: Context, app: str = "", env: str = "", verbose: bool = False) -> None:
    """Start the live release again, without a lost request."""
    from windlass import verbs

    end(verbs.restart(app or None, env or None, verbose))


@task(help={"app": APP + " (default: all)", "env": ENV, "json": "print a JSON list"})
def releases(_: Context, app: str = "", env: str = "", json: bool = False) -> None:
    """List the releases on the servers, newest first."""
    from windlass import verbs

    end(verbs.releases(app or None, env or None, json))


@task(help={"app": APP + " (default: all)", "env": ENV, "json": "print JSON: an object, or a list of several"})
def status(_: Context, app: str = "", env: str = "", json: bool = False) -> None:
    """Show what runs, and a deploy that is under way."""
    from windlass import verbs

    end(verbs.status(app or None, env or None, json))


@task(positional=["command"], help={"command": "in quotes; fab ends with its status", "app": APP, "env": ENV})
def run(_: Context, command: str, app: str = "", env: str = "") -> None:
    """Run a command in the app's environment, on its first server."""
    from windlass import verbs

    end(verbs.run(command, app or None, env or None))


@task(
    help={
        "app": APP,
        "process": "of this process only, such as web",
        "follow": "go on until Ctrl-C",
        "lines": "how many of the last lines (default: 100)",
        "env": ENV,
    }
)
def logs(_: Context, app: str = "", process: str = "", follow: bool = False, lines: str = "100", env: str = "") -> None:
    """Print the app's log."""
    from windlass import verbs

    end(verbs.logs(app or None, process or None, follow, lines, env or None))


@task(
    help={
        "app": APP + " (default: all)",
        "version": "branch, tag or commit (default: the app's entry)",
        "env": ENV,
    }
)
def check(_: Context, app: str = "", version: str = "", env: str = "") -> None:
    """Find out whether a deploy could succeed from here; changes nothing."""
    from windlass import verbs

    end(verbs.check(app or None, version or None, env or None))


@task(positional=["state"], help={"state": "on or off", "app": APP, "env": ENV})
def maintenance(_: Context, state: str, app: str = "", env: str = "") -> None:
    """Show visitors the maintenance page (on), or the app again (off)."""
    from windlass import maintenance as verb

    end(verb.maintenance(state, app or None, env or None))


@task(
    positional=["action"],
    help={
        "action": "init (make what is missing), edit, or rotate NAME (a vault_ name, vault-password or database)",
        "name": "what rotate gives a new value; the option's name may be left out",
        "forget": "with rotate: the old key of an app counts no more, and sessions end",
        "env": ENV,
    },
)
def secrets(_: Context, action: str, name: str = "", forget: bool = False, env: str = "") -> None:
    """Make (init), change (edit) or renew (rotate NAME) the secrets of the inventory's vault."""
    from windlass.secrets import verbs

    end(verbs.secrets(action, name, env or None, forget))


@task(iterable=["count"], help={"count": "NAME=COUNT; the option's name may be left out", "app": APP, "env": ENV})
def scale(_: Context, count: list[str], app: str = "", env: str = "") -> None:
    """Set how many processes run (fab scale worker=4), in the inventory and at once; without a count, tell it."""
    from windlass import scale as verb

    end(verb.scale(count or [], app or None, env or None))


def _words_need_no_option() -> None:
    """Make `fab scale worker=4 web=3` and `fab secrets rotate NAME` what invoke understands: it knows no such words."""
    parse = Program.parse_tasks

    def parsing(self: Any) -> None:
        words = self.core.unparsed
        if words[:1] == ["secrets"] and "rotate" in words[:-1]:
            place = words.index("rotate") + 1
            words[place] = words[place] if words[place].startswith("-") else f"--name={words[place]}"
        if words[:1] == ["scale"]:
            words[:] = [f"--count={word}" if re.match(r"\w[\w-]*=", word) else word for word in words]
        parse(self)

    Program.parse_tasks = parsing


def _wrong_use_is_status_2() -> None:
    """Make `fab` end with 2 where its own parser refuses the arguments; it would end with 1."""
    for name in ("parse_tasks", "parse_cleanup"):
        setattr(Program, name, _refusing(getattr(Program, name)))


def _refusing(parse: Callable[..., None]) -> Callable[..., None]:
    def refusing(self: Any) -> None:
        try:
            parse(self)
        except ParseError as error:
            said = " ".join(str(error).split()).rstrip("!.")
            if missing := re.fullmatch(r"Flag <Argument: (\w+).*> needed value and was not given one", said):
                said = f"--{missing[1]} takes a value"
            elif said.startswith("'run' did not receive"):
                said = "no command given"
            elif said.startswith("'maintenance' did not receive"):
                said = "maintenance takes on or off"
            elif said.startswith("'secrets' did not receive"):
                said = "secrets takes init, edit or rotate NAME"
            raise Exit(f"error: {said}; fab --list and fab --help VERB say more", 2) from error

    return refusing


_wrong_use_is_status_2()
_words_need_no_option()
