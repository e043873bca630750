"""Runs in the app's own environment: what Alembic knows of the release's migrations, as one line of JSON.

Neither the app nor `env.py` is imported, and the database is not asked: what it has is given in WINDLASS_APPLIED.
Written for any Python that an app may have.
"""

import ast
import inspect
import json
import os
import sys
import textwrap

from alembic.config import Config
from alembic.script import ScriptDirectory


def main():
    """Print the heads, what is pending above `applied`, and what going down to `target` would undo."""
    config = Config(sys.argv[1], **({"toml_file": "pyproject.toml"} if sys.argv[1] == "pyproject.toml" else {}))
    if sys.argv[2]:
        config.set_main_option("script_location", sys.argv[2])
    script = ScriptDirectory.from_config(config)
    answer = {"heads": sorted(script.get_heads()), "pending": None, "undo": None, "stuck": []}
    if "WINDLASS_APPLIED" in os.environ:
        applied = json.loads(os.environ["WINDLASS_APPLIED"])
        known = {found.revision for found in script.walk_revisions()}
        if set(applied) <= known:
            there = _all(script, applied)
            answer["pending"] = [name for name in reversed(_all(script, answer["heads"])) if name not in there]
            answer["stuck"] = [name for name in answer["pending"] if _is_stuck(script.get_revision(name).module)]
    if "WINDLASS_TARGET" in os.environ and answer["pending"] is not None:
        kept = _all(script, json.loads(os.environ["WINDLASS_TARGET"]))
        answer["undo"] = [name for name in _all(script, applied) if name not in kept]
        answer["stuck"] = [name for name in answer["undo"] if _is_stuck(script.get_revision(name).module)]
    print("windlass:" + json.dumps(answer))


def _all(script, heads):
    """Return the revisions that these heads bring, newest first."""
    if not heads:
        return []
    return [found.revision for found in script.iterate_revisions(tuple(heads), "base", implicit_base=True)]


def _is_stuck(module):
    """Say whether a migration cannot be undone: no `downgrade`, one that only refuses, or one that does nothing."""
    if not hasattr(module, "downgrade"):
        return True
    return _does(module.downgrade) == "raise" or (_does(module.downgrade) == "" and _does(module.upgrade) != "")


def _does(function):
    """Return `raise` for a function that begins by refusing, nothing for one that does nothing."""
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0].body
    except (OSError, SyntaxError, TypeError):
        return "something"
    work = [line for line in body if not isinstance(line, ast.Pass) and not _is_text(line)]
    if not work:
        return ""
    return "raise" if isinstance(work[0], ast.Raise) else "something"


def _is_text(line):
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)


main()
