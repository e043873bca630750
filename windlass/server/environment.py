"""What a process of the app finds in its environment."""

from __future__ import annotations

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass, field

from windlass import messages
from windlass.server import envfile, masking
from windlass.server.paths import Paths
from windlass.server.settings import Settings


@dataclass(frozen=True)
class Context:
    """One app on this server: where it is and what it is; `values` join the environment of all that it runs."""

    paths: Paths
    settings: Settings
    values: Mapping[str, str] = field(default_factory=dict)


def app_values(paths: Paths) -> dict[str, str]:
    """Return what the owner set, secrets among it."""
    try:
        values = envfile.parse(paths.env.read_text())
        masking.learn(values)
        return values
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise messages.env_file_unreadable(paths.env, str(error)) from error


def workers(settings: Settings) -> int:
    """Return how many workers a web server starts: as scaled, else one more than the CPUs, at most 9.

    Gunicorn advises twice as many, for a machine that serves nothing else. Here a second colour starts beside the
    first at every release, next to the database and other apps, and all of its workers import the app at once.
    """
    return settings.scale.get("web") or min(9, (os.cpu_count() or 1) + 1)


def of_process(context: Context, release: str, process: str) -> dict[str, str]:
    """Return the whole environment; the owner's values win over all but PATH's head and our own names."""
    paths, settings = context.paths, context.settings
    venv = paths.releases / release / ".venv"
    values = {
        "LANG": "C.UTF-8",
        "HOME": pwd.getpwnam(settings.app_user).pw_dir,
        "USER": settings.app_user,
        "LOGNAME": settings.app_user,
        "SHELL": "/bin/sh",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "WEB_CONCURRENCY": str(workers(settings)),
        "FORWARDED_ALLOW_IPS": "*",
    } | app_values(paths)
    return values | {
        "PATH": f"{venv}/bin:{values['PATH']}",
        "VIRTUAL_ENV": str(venv),
        "WINDLASS_APP": settings.name,
        "WINDLASS_HOME": str(paths.home),
        "WINDLASS_RELEASE": release,
        "WINDLASS_PROCESS": process,
        **context.values,
    }
