"""Change sshd or the firewall under a guard: what no fresh login confirms in time, the server takes back by itself.

The tasks of a change, in this order: ``armed``, the files, ``applied``, then ``windlass_reach`` with ``confirm``. If
one of them fails: ``taken_back``, which ends the run. The guard is a program on the server; it is put there when it is
armed, so that runs which change nothing pay nothing for it.
"""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.plugins.action import ActionBase

SOURCE = Path(__file__).resolve().parents[2] / "roles/base/files/usr/local/sbin/windlass-guard.py"
PROGRAM = "/usr/local/sbin/windlass-guard"
INSTALL = f"umask 022 && cat > {PROGRAM}.new && chmod 0755 {PROGRAM}.new && mv {PROGRAM}.new {PROGRAM}"
# Seconds: to write the files, and to log in. A machine under load takes a while for either.
WRITING = 300
CONFIRMING = 60


class ActionModule(ActionBase):
    """``windlass_guard``: subject (ssh, firewall), state (armed, applied, taken_back), because (what went wrong)."""

    TRANSFERS_FILES = False
    _supports_check_mode = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Do one step; ``taken_back`` always fails, and says why."""
        super().run(tmp, task_vars)
        _, args = self.validate_argument_spec(
            {
                "subject": {"type": "str", "choices": ["ssh", "firewall"], "required": True},
                "state": {"type": "str", "choices": ["armed", "applied", "taken_back"], "required": True},
                "because": {"type": "str", "default": ""},
            }
        )
        subject = shlex.quote(args["subject"])
        if args["state"] == "armed":
            return self._do(f"{INSTALL} && {PROGRAM} arm {subject} {WRITING}", SOURCE.read_bytes())
        if args["state"] == "applied":
            return self._do(f"{PROGRAM} apply {subject} {CONFIRMING}")
        return self._take_back(args["subject"], " ".join(args["because"].split()))

    def _do(self, command: str, text: bytes | None = None) -> dict[str, Any]:
        """Run a command on the server as root, with a text on its standard input."""
        done = self._low_level_execute_command(command, sudoable=True, in_data=text)
        if done["rc"] == 0:
            return {"changed": True}
        said = (done.get("stderr") or done["stdout"]).strip().splitlines() or [f"status {done['rc']}"]
        return {"failed": True, "msg": said[-1]}

    def _take_back(self, subject: str, because: str) -> dict[str, Any]:
        """Have the change taken back, at once or by the server itself, and fail."""
        what = "sshd" if subject == "ssh" else "the firewall"
        host = self._connection.get_option("host") if self._connection.transport == "ssh" else "localhost"
        if self._is_taken_back(subject):
            told = f"the change was taken back, and the old settings of {what} serve"
        else:
            told = (
                f"the server takes it back by itself {CONFIRMING} s after the change; it does not answer yet. "
                f"See with your provider's console: journalctl -u windlass-guard-{subject}"
            )
        return {
            "failed": True,
            "msg": f"{host}: {what}: {because.rstrip('.')}; {told}. Correct the setting, run it again.",
        }

    def _is_taken_back(self, subject: str) -> bool:
        """Ask until the change is gone: over the connection that is open, and if that is dead over fresh ones."""
        question = f"{PROGRAM} take-back {shlex.quote(subject)}"
        deadline = time.monotonic() + WRITING / 2
        while time.monotonic() < deadline:
            try:
                return bool(self._low_level_execute_command(question, sudoable=True)["rc"] == 0)
            except (AnsibleConnectionFailure, AnsibleError):
                self._connection.set_option("ssh_args", "-o ControlMaster=no -o ControlPath=none -o ConnectTimeout=5")
                self._connection.control_path = None
                time.sleep(2)
        return False
