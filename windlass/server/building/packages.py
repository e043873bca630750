"""The packages in an environment, as their own metadata names them."""

from __future__ import annotations

import re
from pathlib import Path

DIST_INFO = re.compile(r"(?P<name>.+)-(?P<version>[^-]+)\.dist-info")


def of(venv: Path) -> dict[str, str]:
    """Return version by name, the name in its one normal form (PEP 503)."""
    found = {}
    for path in venv.glob("lib/python3*/site-packages/*.dist-info"):
        if match := DIST_INFO.fullmatch(path.name):
            found[re.sub(r"[-_.]+", "-", match["name"]).lower()] = match["version"]
    return dict(sorted(found.items()))
