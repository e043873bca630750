"""ansible-lint without its syntax checks: it starts Ansible once for every playbook, role and import, over 40 times.

script/test checks the syntax of all of them in one start, in the step before.
"""

from __future__ import annotations

import sys

from ansible_compat.runtime import Runtime
from ansiblelint import __main__, runner

runner.Runner._collect_syntax_check_files = lambda self: []  # type: ignore[method-assign]
Runtime.has_playbook = lambda self, playbook, *, basedir=None: True  # type: ignore[method-assign]

if __name__ == "__main__":
    sys.argv[0] = "ansible-lint"
    sys.exit(__main__.main())
