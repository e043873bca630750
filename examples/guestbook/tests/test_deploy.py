import flask_migrate
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from flask import Flask
from sqlalchemy import inspect

from guestbook import create_app
from guestbook.config import database_url
from guestbook.extensions import db


def test_deploy_prepares_a_database_and_changes_nothing_the_second_time(bare_app: Flask) -> None:
    for _ in range(2):
        answer = bare_app.test_cli_runner().invoke(args=["deploy"])
        assert answer.exit_code == 0, answer.output
        assert bare_app.test_client().get("/api/messages").json["total"] == 1


def test_the_migrations_make_what_the_models_say(app: Flask) -> None:
    with db.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), db.metadata) == []


def test_the_migrations_go_back_to_nothing(app: Flask) -> None:
    flask_migrate.downgrade(revision="base")
    assert set(inspect(db.engine).get_table_names()) <= {"alembic_version"}


@pytest.mark.parametrize("name", ["production", "unix"])
def test_production_does_not_start_without_a_secret_key(name: str) -> None:
    with pytest.raises(ValueError, match="SECRET_KEY is not set"):
        create_app(name, SECRET_KEY=None)


def test_an_unknown_configuration_is_refused() -> None:
    with pytest.raises(ValueError, match="must be one of: development, testing, production, unix"):
        create_app("prodction")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_postgresql_url_needs_no_driver(scheme: str) -> None:
    url = database_url(f"{scheme}:///guestbook?host=/var/run/postgresql")
    assert (url.drivername, url.database) == ("postgresql+psycopg", "guestbook")
    assert url.query == {"host": "/var/run/postgresql"}
