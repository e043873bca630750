"""What the tests of servers share. They run from the outside: SSH, HTTPS, SMTP, SQL.

Every scenario's verify step is given this one tree. A scenario that is named after a role runs `test_<role>.py`;
the scenario `default` runs all of it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

SCENARIO = os.environ.get("MOLECULE_SCENARIO_NAME", "default")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests that are about this scenario."""
    if SCENARIO == "default":
        return
    concern = f"test_{SCENARIO}.py"
    dropped = [item for item in items if item.path.name != concern]
    config.hook.pytest_deselected(items=dropped)
    items[:] = [item for item in items if item.path.name == concern]


@pytest.fixture(scope="session")
def inventory() -> Path:
    """Return the directory of the inventory that the scenario's machines are in."""
    return Path(os.environ["MOLECULE_SCENARIO_DIRECTORY"]) / "inventory"
