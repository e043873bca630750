"""Runs in the app's own environment, by `manage.py shell`: what Django knows of the release's migrations, as JSON.

WINDLASS_TARGET, when set, is what to go down to, as a list of APP.NAME. Written for any Python that an app may have.
"""

import json
import os

from django.db import connection
from django.db.migrations.executor import MigrationExecutor


def main():
    """Print the leaves of the code, what the database has, what is pending, and what going down would undo."""
    executor = MigrationExecutor(connection)
    graph = executor.loader.graph
    applied = set(executor.loader.applied_migrations)
    plan = executor.migration_plan(graph.leaf_nodes())
    answer = {
        "heads": sorted(_named(graph.leaf_nodes())),
        "applied": sorted(_named(_leaves(graph, applied))),
        "pending": _named((step.app_label, step.name) for step, _ in plan),
        "undo": None,
        "stuck": _named((step.app_label, step.name) for step, _ in plan if not _is_reversible(step)),
    }
    if "WINDLASS_TARGET" in os.environ:
        wanted = dict(tuple(head.split(".", 1)) for head in json.loads(os.environ["WINDLASS_TARGET"]))
        targets = _targets(graph, applied, wanted)
        down = [step for step, backwards in executor.migration_plan(targets) if backwards]
        answer["undo"] = _named((step.app_label, step.name) for step in down)
        answer["stuck"] = _named((step.app_label, step.name) for step in down if not _is_reversible(step))
        answer["targets"] = [list(target) for target in targets]
    print("\nwindlass:" + json.dumps(answer))


def _named(keys):
    return [app + "." + name for app, name in keys]


def _leaves(graph, applied):
    """Return the applied migrations that no applied one of the same app follows."""
    nodes = [key for key in applied if key in graph.nodes]
    followed = {parent.key for key in nodes for parent in graph.node_map[key].parents if parent.key[0] == key[0]}
    return [key for key in nodes if key not in followed]


def _targets(graph, applied, wanted):
    """Return where each app goes that is further than wanted; None is before its first migration."""
    current = dict(_leaves(graph, applied))
    apart = [app for app, name in sorted(current.items()) if wanted.get(app) != name]
    return [(app, wanted.get(app)) for app in apart]


def _is_reversible(step):
    return all(operation.reversible for operation in step.operations)


main()
