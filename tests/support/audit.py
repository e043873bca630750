"""Ask the database of known vulnerabilities about what a lock file pins: python -m tests.support.audit DIRECTORY ...

Exit status: 0 nothing known; 1 something known, or the lock cannot be read; 77 nobody answered, so nothing is verified.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

UV = Path(sys.executable).with_name("uv")
NOT_VERIFIED = 77
UNREACHED = ("error sending request", "Request failed", "HTTP status", "timed out", "error decoding response")


def audit(directory: Path, service: str = "") -> tuple[int, list[str]]:
    """Return the status for the lock of a directory, and the lines that say why; `service`: another than OSV."""
    command = [str(UV), "audit", "--frozen", "--output-format", "json", "--project", str(directory)]
    command += ["--service-url", service] if service else []
    environment = os.environ | {"UV_HTTP_RETRIES": "1", "UV_HTTP_TIMEOUT": "20"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode not in (0, 1) or not done.stdout.strip():
        said = [line.strip() for line in done.stderr.splitlines() if line.strip() and not line.startswith("warning:")]
        reached = not any(word in done.stderr for word in UNREACHED)
        return (1, said) if reached else (NOT_VERIFIED, [f"not verified: {said[-1] if said else 'no answer'}"])
    return judged(json.loads(done.stdout), done.returncode)


def judged(answer: dict[str, Any], status: int) -> tuple[int, list[str]]:
    """Return the status and the lines for what uv answered; an audit of nothing is a failure."""
    looked_at = answer["summary"]["audited_packages"]
    found = [
        f"{item['dependency']['name']} {item['dependency']['version']}: {item['display_id']}: {item['summary']}; "
        f"fixed in {', '.join(item['fix_versions']) or 'no version yet'}"
        for item in answer["vulnerabilities"]
    ]
    found += [f"{item}" for item in answer["adverse_statuses"]]
    if not looked_at:
        return 1, ["no package was looked at"]
    return (1 if found or status else 0), found or [f"{looked_at} packages, nothing known"]


def main() -> int:
    """Audit each directory; the worst status counts, and a finding is worse than no answer."""
    worst = 0 if sys.argv[1:] else 1
    if worst:
        print("no lock was named: python -m tests.support.audit DIRECTORY ...", file=sys.stderr)
    for name in sys.argv[1:]:
        status, lines = audit(Path(name), os.environ.get("WINDLASS_AUDIT_SERVICE", ""))
        for line in lines:
            print(f"{name}/uv.lock: {line}", flush=True)
        worst = 1 if 1 in (status, worst) else max(status, worst)
        if status == NOT_VERIFIED:  # the next would wait as long
            break
    return worst


if __name__ == "__main__":
    sys.exit(main())
