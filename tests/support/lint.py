"""ansible-lint without its syntax check: it starts Ansible once for every playbook and role, 31 times.

script/test checks the syntax of all of them in one start, in the step before.
"""

from __future__ import annotations

import sys

from ansiblelint import __main__, runner

runner.Runner._collect_syntax_check_files = lambda self: []  # type: ignore[method-assign]

if __name__ == "__main__":
    sys.argv[0] = "ansible-lint"
    sys.exit(__main__.main())
