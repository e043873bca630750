"""Check the inventory in use, before anything is changed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

ROOT = Path(__file__).resolve().parents[2]


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible has no types
    """Fail with the lines that `fab` would print."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read the inventory again through windlass.inventory, with the vault's secrets of this run."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        if str(ROOT) not in sys.path:
            sys.path.insert(0, str(ROOT))
        from windlass import inventory

        problems = inventory.check(list((task_vars or {})["ansible_inventory_sources"]), self._loader)
        if problems:
            result.update(failed=True, msg="\n".join(problems))
        return result
