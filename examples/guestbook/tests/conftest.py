"""Every test gets an app on an empty database that the migrations have made."""

from collections.abc import Iterator

import flask_migrate
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from guestbook import create_app
from guestbook.extensions import db


@pytest.fixture
def bare_app() -> Iterator[Flask]:
    app = create_app("testing")
    with app.app_context():
        db.drop_all()
        db.session.execute(text("DROP TABLE IF EXISTS alembic_version"))
        db.session.commit()
        yield app
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def app(bare_app: Flask) -> Flask:
    flask_migrate.upgrade()
    return bare_app


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()
