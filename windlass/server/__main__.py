"""`python -m windlass.server`: the release program of this machine."""

import sys

from windlass.server.main import main

sys.exit(main())
