"""The release's own environment: which packages, and the uv commands that install them."""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

from windlass import messages
from windlass.server.environment import Context
from windlass.server.paths import Paths
from windlass.server.processes import command

LOCK, PROJECT, REQUIREMENTS = "uv.lock", "pyproject.toml", "requirements.txt"


@dataclass(frozen=True)
class Plan:
    """How a release gets its packages.

    `key` is the same for two releases whose environments are; `local` says that the app itself is among
    the packages, so that a copied environment has to be brought to this release's folder.
    """

    kind: str
    source: str
    extra: tuple[str, ...]
    key: str
    local: bool
    wants_gunicorn: bool = False
    hashed: bool = False  # what is installed has to be what the hashes say, all of it


def plan(context: Context, release: Path, processes: dict[str, str]) -> Plan:
    """Decide from the files of the app; `Failure` says what to add when there are none."""
    settings = context.settings
    folder = release / settings.directory
    kind, source = _source(folder, settings.requirements)
    extra = settings.pip_packages
    text = (folder / source).read_text(errors="replace")
    wants_gunicorn = command.uses_gunicorn(processes["web"])
    python = settings.python or str(context.paths.python.resolve())  # a new Debian brings a new one
    parts = [kind, python, settings.index_url, str(wants_gunicorn), *sorted(extra)]
    included = _included(folder, source)
    for name in (source, LOCK, PROJECT, *included):
        path = folder / name
        parts.append(path.read_text(errors="replace") if path.is_file() else "")
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    texts = [text, *((folder / name).read_text(errors="replace") for name in included if (folder / name).is_file())]
    hashed = kind == "requirements" and any("--hash=" in text for text in texts)
    return Plan(kind, source, tuple(extra), digest, _is_local(folder, kind, text), wants_gunicorn, hashed)


def _source(folder: Path, named: str) -> tuple[str, str]:
    if named:
        if not (folder / named).is_file():
            raise messages.requirements_not_in_commit(named)
        return "requirements", named
    kinds = ((LOCK, "lock"), (REQUIREMENTS, "requirements"), (PROJECT, "project"))
    for name, kind in kinds:
        if (folder / name).is_file() and (name != LOCK or (folder / PROJECT).is_file()):
            return kind, name
    raise messages.no_requirements()


def _included(folder: Path, source: str) -> list[str]:
    """Return the requirement files that one includes, and theirs."""
    found: list[str] = []
    pending = [source]
    while pending:
        path = folder / pending.pop()
        if not path.is_file() or path.suffix not in (".txt", ".in"):
            continue
        for line in path.read_text(errors="replace").splitlines():
            words = line.replace("=", " ", 1).split() if line.startswith("--") else line.split()
            if len(words) > 1 and words[0] in ("-r", "-c", "--requirement", "--constraint"):
                name = os.path.relpath(path.parent / words[1], folder)
                if name not in found:
                    found.append(name)
                    pending.append(name)
    return found


def _is_local(folder: Path, kind: str, text: str) -> bool:
    """Say whether the app installs itself."""
    if kind == "requirements":
        starts = ("-e", "--editable", ".", "file:")
        return any(line.strip().startswith(starts) for line in text.splitlines())
    return has_build(folder)


def has_build(folder: Path) -> bool:
    """Say whether pyproject.toml makes a package of the app."""
    try:
        data = tomllib.loads((folder / PROJECT).read_text())
    except (OSError, tomllib.TOMLDecodeError):
        return False
    package = data.get("tool", {}).get("uv", {}).get("package")
    return bool(package) if package is not None else "build-system" in data


def environment(context: Context, release: Path) -> dict[str, str]:
    """Return the environment that uv works in."""
    paths, settings = context.paths, context.settings
    values = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(paths.cache),
        "LANG": "C.UTF-8",
        "UV_CACHE_DIR": str(paths.cache / "uv"),
        "UV_PYTHON": settings.python or str(paths.python),
        "UV_PYTHON_DOWNLOADS": "automatic" if settings.python else "never",
        "UV_PYTHON_INSTALL_DIR": str(paths.cache / "python"),
        "UV_PROJECT_ENVIRONMENT": str(release / ".venv"),
        "VIRTUAL_ENV": str(release / ".venv"),
        "UV_LINK_MODE": "hardlink",
        "UV_NO_PROGRESS": "1",
        "UV_NATIVE_TLS": "1",
        "UV_SYSTEM_CERTS": "1",
        "NO_COLOR": "1",
    }
    if paths.certificates.exists():
        values["SSL_CERT_FILE"] = str(paths.certificates)
    if settings.index_url:
        values["UV_DEFAULT_INDEX"] = settings.index_url
    return values


def pip_install(release: Path) -> list[str]:
    """Return uv's words for installing into the release; UV_PYTHON would name the interpreter's own place."""
    return ["pip", "install", "--python", str(release / ".venv/bin/python")]


def commands(paths: Paths, chosen: Plan, release: Path, *, copied: bool) -> list[list[str]]:
    """Return the uv commands that bring `.venv` to what the plan says, in the app's folder.

    A copied environment holds the packages already: only the app itself may have to be put in place.
    """
    uv = [str(paths.uv), "--quiet"]
    pip = pip_install(release)
    compiled = [] if copied else ["--compile-bytecode"]
    if copied and not chosen.local:
        return []
    install = {
        "lock": ["sync", "--locked", "--no-dev", "--inexact", *compiled],
        "requirements": [*pip, *compiled, *(["--require-hashes"] if chosen.hashed else []), "-r", chosen.source],
        "project": [*pip, *compiled, *(["-e", "."] if chosen.local else ["-r", PROJECT])],
    }
    lines = [[*uv, *install[chosen.kind]]]
    if chosen.extra and not copied:
        lines.append([*uv, *pip, *compiled, "--", *chosen.extra])
    return lines


def gunicorn_command(paths: Paths, chosen: Plan, release: Path) -> list[str]:
    """Return the command that adds gunicorn where the web command starts it and nothing brought it."""
    if not chosen.wants_gunicorn or any(release.glob(".venv/lib/python*/site-packages/gunicorn")):
        return []
    return [str(paths.uv), "--quiet", *pip_install(release), "--compile-bytecode", "gunicorn"]
