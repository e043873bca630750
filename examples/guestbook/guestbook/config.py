"""Configuration classes. Settings come from the environment, and from `.env` where that is silent."""

import os
import secrets
from pathlib import Path

from dotenv import load_dotenv
from sqlalchemy.engine import URL, make_url

BASE = Path(__file__).resolve().parent.parent
# A value is what it says: `$` in a password is a `$`.
load_dotenv(BASE / ".env", interpolate=False)


def flag(name: str) -> bool:
    """Whether the setting is switched on: `1`, `true`, `yes` or `on`."""
    return os.environ.get(name, "").lower() in {"1", "true", "yes", "on"}


def database_url(text: str) -> URL:
    """Name the driver in a URL that does not (`postgres://` and `postgresql://` are what hosts hand out)."""
    url = make_url(text)
    if url.drivername in {"postgres", "postgresql"}:
        url = url.set(drivername="postgresql+psycopg")
    return url


def engine_options(url: URL) -> dict[str, object]:
    """Survive a restart of the database, and give up on an unreachable one after 5 s."""
    options: dict[str, object] = {"pool_pre_ping": True}
    if url.get_backend_name() == "postgresql":
        options["connect_args"] = {"connect_timeout": 5}
    return options


class Config:
    """What every environment shares."""

    SECRET_KEY = os.environ.get("SECRET_KEY")
    # Sessions that a former key signed stay valid.
    SECRET_KEY_FALLBACKS = os.environ.get("SECRET_KEY_FALLBACKS", "").split()
    SQLALCHEMY_DATABASE_URI = database_url(os.environ.get("DATABASE_URL", "sqlite:///guestbook.db"))
    SQLALCHEMY_ENGINE_OPTIONS = engine_options(SQLALCHEMY_DATABASE_URI)

    RELEASE = os.environ.get("WINDLASS_RELEASE", "development")
    PROCESS = os.environ.get("WINDLASS_PROCESS", "local")
    TEST_ROUTES = flag("GUESTBOOK_TEST_ROUTES")
    TRUSTED_PROXIES = int(os.environ.get("TRUSTED_PROXIES", "0"))
    WORKER_POLL_SECONDS = float(os.environ.get("WORKER_POLL_SECONDS", "1"))
    WORKER_JOB_SECONDS = float(os.environ.get("WORKER_JOB_SECONDS", "0"))

    ADMIN_EMAIL = os.environ.get("ADMIN_EMAIL", "")
    MAIL_SERVER = os.environ.get("MAIL_SERVER", "localhost")
    MAIL_PORT = int(os.environ.get("MAIL_PORT", "25"))
    MAIL_USE_TLS = flag("MAIL_USE_TLS")
    MAIL_USERNAME = os.environ.get("MAIL_USERNAME", "")
    MAIL_PASSWORD = os.environ.get("MAIL_PASSWORD", "")
    MAIL_SENDER = os.environ.get("MAIL_SENDER", "")

    LOG_LEVEL = os.environ.get("LOG_LEVEL", "INFO").upper()
    LOG_TO_SYSLOG = False
    SYSLOG_ADDRESS = "/dev/log"
    MAIL_ERRORS = False

    MAX_CONTENT_LENGTH = 1024 * 1024
    SESSION_COOKIE_SAMESITE = "Lax"
    # The token is tied to the session; a browser that sends no Referer is not an attack.
    WTF_CSRF_SSL_STRICT = False


class DevelopmentConfig(Config):
    """A laptop: SQLite unless DATABASE_URL says otherwise, and no secret to keep."""

    SECRET_KEY = Config.SECRET_KEY or secrets.token_hex(32)


class TestingConfig(Config):
    """The tests: SQLite in memory, or the database of TEST_DATABASE_URL, which they empty."""

    TESTING = True
    SECRET_KEY = secrets.token_hex(32)
    SQLALCHEMY_DATABASE_URI = database_url(os.environ.get("TEST_DATABASE_URL", "sqlite://"))
    SQLALCHEMY_ENGINE_OPTIONS = engine_options(SQLALCHEMY_DATABASE_URI)
    TEST_ROUTES = True
    WTF_CSRF_ENABLED = False


class ProductionConfig(Config):
    """Any host: behind one proxy with TLS, logs to stderr, errors mailed to ADMIN_EMAIL if it is set."""

    SESSION_COOKIE_SECURE = True
    TRUSTED_PROXIES = int(os.environ.get("TRUSTED_PROXIES", "1"))
    MAIL_ERRORS = True


class UnixConfig(ProductionConfig):
    """A server with its own syslog and mail transfer agent: logs to /dev/log, errors mailed to root."""

    ADMIN_EMAIL = os.environ.get("ADMIN_EMAIL", "root@localhost")
    LOG_TO_SYSLOG = True


configs: dict[str, type[Config]] = {
    "development": DevelopmentConfig,
    "testing": TestingConfig,
    "production": ProductionConfig,
    "unix": UnixConfig,
}
