"""The app's entry, as the `app` role wrote it for this program."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from windlass import messages
from windlass.server import envfile, masking, names
from windlass.server.errors import Failure
from windlass.server.paths import Paths


@dataclass(frozen=True)
class Settings:
    """What to build, run and check; times are seconds. An absent or null key has the default."""

    name: str
    domains: list[str]
    user: str = ""
    build_user: str = ""
    directory: str = "."
    python: str = ""
    requirements: str = ""
    pip_packages: list[str] = field(default_factory=list)
    services: list[str] = field(default_factory=list)
    wsgi: str = ""
    processes: dict[str, str] = field(default_factory=dict)
    scale: dict[str, int] = field(default_factory=dict)
    build: str = ""
    health_path: str = "/"
    health_timeout: int = 30
    stop_timeout: int = 30
    stop_timeouts: dict[str, int] = field(default_factory=dict)
    stop_signals: dict[str, str] = field(default_factory=dict)
    single: list[str] = field(default_factory=lambda: ["scheduler", "beat", "clock"])
    first_host: bool = True
    request_timeout: int = 60
    shared: list[str] = field(default_factory=list)
    keep_releases: int = 5
    upstream_keepalive: int = 0
    setuid_programs: bool = False
    hooks: dict[str, str] = field(default_factory=dict)
    database_roles: str = "two"
    owner_user: str = ""
    migrations: str = "auto"
    lock_timeout: int = 5
    keep_snapshots: int = 3
    watch_seconds: int = 30
    watch_errors: int = 20
    index_url: str = ""
    front: dict[str, object] | None = field(default_factory=lambda: {"address": "127.0.0.1", "port": 443})

    @property
    def app_user(self) -> str:
        """The user that runs the app."""
        return self.user or self.name

    @property
    def builder(self) -> str:
        """The user that builds releases and owns the code."""
        return self.build_user or f"{self.name}-build"

    @property
    def owner(self) -> str:
        """The user and the role that own the schema; nothing where that is the app's own, or nobody."""
        two = self.database_roles == "two" and "postgresql" in self.services
        return f"{self.name}-owner" if two else ""

    def grace(self, process: str) -> int:
        """How long a process has, in seconds, to finish what it has in hand when it is told to stop."""
        return self.stop_timeouts.get(process, self.stop_timeout)

    def stop_signal(self, process: str) -> str:
        """The signal that tells a process to stop, without its SIG."""
        return self.stop_signals.get(process, "TERM")


def load(path: Path) -> Settings:
    """Read and check the settings; raise `Failure` when there are none or they are wrong."""
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        raise messages.app_not_here(path.stem) from None
    except (OSError, ValueError) as error:
        raise messages.settings_unreadable(path, str(error)) from error
    return read(data)


def fingerprints(data: Mapping[str, object]) -> dict[str, str]:
    """Return a mark of each value, by which another side knows whether it has the same; the value stays here."""
    from hashlib import sha256  # wanted at few of this program's many starts

    return {key: sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16] for key, value in data.items()}


def told(paths: Paths) -> dict[str, object]:
    """Return what this server was told of the app's entry: a mark of each key, and the names of its `env`."""
    try:
        names: list[str] | None = sorted(envfile.parse(paths.env.read_text()))
    except (OSError, ValueError, Failure):
        names = None
    return {"keys": fingerprints(json.loads(paths.settings.read_text())), "env": names}


def read(data: Mapping[str, object]) -> Settings:
    """Return the settings in `data`, each of the type of its default; unknown keys are left alone."""
    values: dict[str, object] = {}
    for item in fields(Settings):
        value = data.get(item.name)
        if value is None:
            if item.name == "front" and "front" in data:
                values["front"] = None
            continue
        if not _is(str(item.type), value):
            raise messages.setting_of_wrong_kind(item.name, str(item.type), repr(value))
        values[item.name] = value
    try:
        settings = Settings(**values)  # type: ignore[arg-type]
    except TypeError:
        raise messages.settings_incomplete() from None
    _check(settings)
    masking.learn({"index_url": settings.index_url})
    return settings


def _is(kind: str, value: object) -> bool:
    if kind == "str":
        return isinstance(value, str)
    if kind == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "bool":
        return isinstance(value, bool)
    if kind == "list[str]":
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    inner = {"dict[str, str]": str, "dict[str, int]": int}.get(kind, object)
    return isinstance(value, dict) and all(isinstance(item, inner) for item in value.values())


def _check(settings: Settings) -> None:
    wrong = [hook for hook in settings.hooks if hook not in names.HOOKS]
    wrong += [process for process in settings.processes if not names.PROCESS.fullmatch(process)]
    wrong += [folder for folder in (settings.directory, *settings.shared) if not names.is_inside(folder)]
    wrong += [] if names.APP.fullmatch(settings.name) else [settings.name]
    wrong += [signal for signal in settings.stop_signals.values() if signal not in names.SIGNALS]
    if wrong or not settings.domains:
        raise messages.settings_refused(wrong)
