"""Runs in the app's own environment, by `manage.py shell`: the SQL of each pending migration, as one line of JSON.

It is what `manage.py sqlmigrate` prints. Written for any Python that an app may have.
"""

import json

from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader


def main():
    """Print name, SQL and problem of each migration that the database lacks, in order."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    loader = MigrationLoader(connection, replace_migrations=False)
    print("\nwindlass:" + json.dumps([_told(loader, step) for step, _ in plan]))


def _told(loader, step):
    name = step.app_label + "." + step.name
    try:
        lines = loader.collect_sql([(loader.graph.nodes[(step.app_label, step.name)], False)])
    except Exception as error:
        problem = "Django gives no SQL of it: " + type(error).__name__ + ": " + " ".join(str(error).split())[:200]
        return [name, "", problem]
    opaque = [operation.describe() for operation in step.operations if not operation.reduces_to_sql]
    problem = "it runs code of its own: " + "; ".join(opaque) if opaque else ""
    text = "\n".join(lines)
    return [name, "BEGIN;\n" + text + "\nCOMMIT;\n" if step.atomic else text, problem]


main()
