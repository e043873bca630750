from tasks import *  # noqa: F403 - `fab` looks for a file of this name
