"""Who changes the schema: a role of the database, and a unix user, that no process which serves is.

The app's own role reads and writes rows. A migration runs as another unix user, so that nothing that runs as the app
can read its environment, with the password of a database on another server in it, or look into its memory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import SplitResult, parse_qsl, quote, urlencode, urlsplit

from windlass import messages
from windlass.server import envfile, environment, masking, runner
from windlass.server.environment import Context
from windlass.server.paths import Paths

SCHEMES = ("postgres", "postgresql", "postgis")
# A setting of this name that holds the app's role names a role of PostgreSQL, and no login of the app's.
USER = re.compile(r"(?:.*_)?(?:PG|POSTGRES|POSTGRESQL|DB|DATABASE|SQL)_?USER(?:NAME)?", re.IGNORECASE)


def user(context: Context) -> runner.User:
    """Return who runs what changes the schema."""
    settings = context.settings
    return runner.user((settings.owner_user or settings.owner) if owns(context) else settings.app_user)


def owns(context: Context) -> bool:
    """Say whether the schema has an owner of its own: with a database of ours, here or on another server.

    Behind an address that the owner of the app wrote, the roles are theirs.
    """
    if not context.settings.owner:
        return False
    url = environment.app_values(context.paths).get("DATABASE_URL", "")
    return context.paths.owner_env.exists() or not url or _is_local(_parts(url))


def values(context: Context, release: str) -> dict[str, str]:
    """Return the environment of a release command."""
    found = environment.of_process(context, release, "release")
    if not owns(context):
        return found
    who = user(context)
    found = as_owner(found, context.settings.name, context.settings.owner)
    return found | {"USER": who.name, "LOGNAME": who.name, "HOME": who.home} | _secret(context.paths)


def url(context: Context) -> str:
    """Return DATABASE_URL as the owner of the schema has it."""
    given = environment.app_values(context.paths)
    if owns(context):
        given = as_owner(given, context.settings.name, context.settings.owner) | _secret(context.paths)
    return given.get("DATABASE_URL", "")


def _secret(paths: Paths) -> dict[str, str]:
    try:
        values = envfile.parse(paths.owner_env.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise messages.env_file_unreadable(paths.owner_env, str(error)) from error
    masking.learn(values)
    return values


def as_owner(given: Mapping[str, str], app: str, owner: str) -> dict[str, str]:
    """Return settings with the owner's role where the app's is named: in URLs of the socket, and by itself."""
    return {
        name: owner if value == app and USER.fullmatch(name) else _url_as(value, app, owner)
        for name, value in given.items()
    }


def _url_as(value: str, app: str, owner: str) -> str:
    parts = _parts(value)
    if not _is_local(parts):
        return value
    login, at, host = parts.netloc.rpartition("@")
    if login.partition(":")[0] == app:
        parts = parts._replace(netloc=f"{owner}{at}{host}")
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    if ("user", app) in pairs:
        changed = [(key, owner if (key, text) == ("user", app) else text) for key, text in pairs]
        parts = parts._replace(query=urlencode(changed, safe="/:,", quote_via=quote))
    return _joined(parts)


def _parts(value: str) -> SplitResult:
    """Return the parts of a URL; none of them for what cannot be one."""
    try:
        return urlsplit(value)
    except ValueError:
        return SplitResult("", "", "", "", "")


def _joined(parts: SplitResult) -> str:
    """Write a URL with its two slashes, which `urlunsplit` leaves out where no host is between them."""
    query, fragment = (f"{sign}{text}" if text else "" for sign, text in (("?", parts.query), ("#", parts.fragment)))
    return f"{parts.scheme}://{parts.netloc}{parts.path}{query}{fragment}"


def _is_local(parts: SplitResult) -> bool:
    """Say whether a URL of PostgreSQL leads to the socket of this server."""
    if parts.scheme.partition("+")[0] not in SCHEMES:
        return False
    try:
        host = parts.hostname or ""
    except ValueError:
        return False
    host = dict(parse_qsl(parts.query)).get("host", host)
    return not host or host.startswith(("/", "%2f", "%2F"))
