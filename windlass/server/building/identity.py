"""What comes from an app's repository is read with the rights of its build user, and never with root's."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def reading_as(name: str) -> Iterator[None]:
    """Open files as this user would: a link in a repository may name a file that only root can read.

    Root alone can and needs to step down; anybody else goes on as they are.
    """
    user = pwd.getpwnam(name) if os.geteuid() == 0 else None
    if user is None or user.pw_uid == 0:
        yield
        return
    group, groups = os.getegid(), os.getgroups()
    os.setgroups(os.getgrouplist(name, user.pw_gid))
    os.setegid(user.pw_gid)
    os.seteuid(user.pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)
