"""Start an app again with its settings, as `fab restart` does: the release program does it, or says why not."""

from __future__ import annotations

import json
from typing import Any

from ansible.plugins.action import ActionBase

PROGRAM = "/usr/local/sbin/windlass"


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible has no types
    """``windlass_restart``: app (its name)."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Have it restarted; an app without a release has nothing to restart."""
        super().run(tmp, task_vars)
        _, args = self.validate_argument_spec({"app": {"type": "str", "required": True}})
        app = args["app"]
        if self._task.check_mode:
            there = self._low_level_execute_command(f"test -e /srv/{app}/current", sudoable=True)
            return {"changed": there["rc"] == 0}
        request = {"protocol": 1, "action": "restart", "app": app, "by": "ansible"}
        done = self._low_level_execute_command(PROGRAM, sudoable=True, in_data=f"{json.dumps(request)}\n".encode())
        return {"changed": True} if done["rc"] == 0 else {"failed": True, "msg": f"{app}: {self._reason(done)}"}

    @staticmethod
    def _reason(done: dict[str, Any]) -> str:
        """Return what the program says last: the failure and what to do about it."""
        for line in reversed(done["stdout"].splitlines()):
            try:
                error = json.loads(line)["error"]
            except (ValueError, KeyError, TypeError):
                continue
            return "; ".join(part for part in (error.get("message"), error.get("hint")) if part)
        said = (done.get("stderr") or done["stdout"]).strip().splitlines() or [f"status {done['rc']}"]
        return str(said[-1])
