"""Pack the server's release program into one file, the same bytes for the same source."""

from __future__ import annotations

import hashlib
import io
import json
import os
import stat
import sys
import zipfile
from pathlib import Path

EPOCH = (1980, 1, 1, 0, 0, 0)
SHARED = ("__init__.py", "errors.py", "messages.py")  # what both sides use
INSTALLED = "/usr/local/sbin/windlass"
UNPACKED = "/var/lib/windlass/.program"
# From its one file Python would compile the program anew at each start, after reading the list of what is in it.
HEAD = f"""\
#!/bin/sh
start={UNPACKED}/DIGEST/start.py
[ -r "$start" ] && exec /usr/bin/python3 -IS "$start" "$0" "$@"
exec /usr/bin/python3 -IS "$0" "$@"
"""
MAIN = f"""\
import os
import sys

place = "{UNPACKED}/DIGEST"
if sys.path[0] == "{INSTALLED}" and os.geteuid() == 0 and not os.path.isdir(place):
    from pathlib import Path
    from windlass.server.unpack import unpack

    unpack(sys.path[0], Path(place))

from windlass.server.main import main

sys.exit(main())
"""
START = """\
import os
import sys

del sys.argv[0]
sys.path.insert(0, os.path.dirname(__file__))

from windlass.server.main import main

sys.exit(main())
"""


def _sources() -> tuple[str, dict[str, str]]:
    """Return the head and the files by name."""
    package = Path(__file__).parent
    server = (package / "server").rglob("*.py")
    found = [*SHARED, *(str(path.relative_to(package)) for path in server)]
    texts = {f"windlass/{name}": (package / name).read_text() for name in found}
    digest = hashlib.sha256(json.dumps([HEAD, MAIN, START, texts], sort_keys=True).encode()).hexdigest()[:16]
    head, main = (text.replace("DIGEST", digest) for text in (HEAD, MAIN))
    return head, {"__main__.py": main, "start.py": START, **texts}


def packed() -> bytes:
    """Return the program: some lines of shell, and a zip archive for Python."""
    head, texts = _sources()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, text in sorted(texts.items()):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = 3
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(entry, text)
    return head.encode() + buffer.getvalue()


def pack(destination: str | Path) -> bool:
    """Write the program to `destination`, executable; say whether that changed it."""
    path = Path(destination)
    data = packed()
    if path.is_file() and path.read_bytes() == data:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    # Replaced by rename: two provisioning runs at a time may both be here.
    candidate = path.with_name(f"{path.name}.{os.getpid()}")
    candidate.write_bytes(data)
    candidate.chmod(0o755)
    candidate.replace(path)
    return True


def main() -> int:
    """`python -m windlass.pack DEST`."""
    if len(sys.argv) != 2:
        print("usage: python -m windlass.pack DESTINATION", file=sys.stderr)
        return 2
    pack(sys.argv[1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
