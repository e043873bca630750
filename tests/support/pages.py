"""The error and maintenance pages, made as the role `nginx` makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.support import project
from tests.support.rendering import evaluate

ROLE = project.ROOT / "roles" / "nginx"


def pages(inventory: Path, **more: Any) -> dict[str, str]:
    """Return every page that a server of this inventory gets, by name."""
    tasks = yaml.safe_load((ROLE / "tasks" / "configure.yml").read_text())
    task = next(task for task in tasks if task["name"] == "Install the pages for the answers that nginx gives itself")
    content = task["ansible.builtin.copy"]["content"]
    given = {"inventory_dir": str(inventory), **more}
    names = evaluate(task["loop"], ROLE, **given)
    return {name: str(evaluate(content, ROLE, item=name, **given)) for name in names}


def unknown(inventory: Path) -> list[str]:
    """Return what the role refuses among the owner's pages and words."""
    return list(evaluate("{{ __nginx_pages_unknown }}", ROLE, inventory_dir=str(inventory)))
