# /// script
# requires-python = ">=3.11"
# dependencies = ["sslyze==6.3.1"]
# ///
"""Run sslyze with the arguments given: `uv run --locked --script tests/support/sslyze_scan.py ARGUMENT ...`

It has an environment and a lock of its own, because it wants older libraries than the project.
"""

import sys

from sslyze.__main__ import main

sys.exit(main())
