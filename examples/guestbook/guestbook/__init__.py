"""A guestbook: the application factory."""

import os

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from . import api, cli, errors, logs, ops, requests, web
from .config import configs
from .extensions import csrf, db, migrate
from .version import VERSION


def create_app(config_name: str | None = None, **overrides: object) -> Flask:
    """Make the app; `config_name` defaults to FLASK_CONFIG, and `overrides` win over its settings."""
    name = config_name or os.environ.get("FLASK_CONFIG", "development")
    if name not in configs:
        raise ValueError(f"FLASK_CONFIG is {name!r}, but must be one of: {', '.join(configs)}")
    app = Flask(__name__)
    app.config.from_object(configs[name])
    app.config.update(overrides)
    if not app.config["SECRET_KEY"]:
        raise ValueError(f"SECRET_KEY is not set, and FLASK_CONFIG={name} does not start without it")
    logs.init_app(app)
    db.init_app(app)
    migrate.init_app(app, db)
    csrf.init_app(app)
    csrf.exempt(api.bp)
    csrf.exempt(ops.test_bp)
    for module in (cli, errors, requests):
        module.init_app(app)
    for blueprint in (web.bp, api.bp, ops.bp):
        app.register_blueprint(blueprint)
    if app.config["TEST_ROUTES"]:
        app.register_blueprint(ops.test_bp)
    app.jinja_env.globals.update(VERSION=VERSION, RELEASE=app.config["RELEASE"])
    if proxies := app.config["TRUSTED_PROXIES"]:
        # The proxy passes the Host header on as it is, so no X-Forwarded-Host is believed.
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies, x_host=0)  # type: ignore[method-assign]
    return app
