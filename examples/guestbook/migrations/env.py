"""Runs migrations on the app's database; `flask db` and `flask deploy` come through here."""

from alembic import context
from flask import current_app

extension = current_app.extensions["migrate"]
metadata = extension.db.metadata
# SQLite alters a table by making it again.
options = {"target_metadata": metadata, "render_as_batch": True, **extension.configure_args}


def run_offline() -> None:
    """Print the SQL (`flask db upgrade --sql`)."""
    url = extension.db.engine.url.render_as_string(hide_password=False)
    context.configure(url=url, literal_binds=True, **options)
    with context.begin_transaction():
        context.run_migrations()


def run_online() -> None:
    """Change the database."""
    with extension.db.engine.connect() as connection:
        context.configure(connection=connection, **options)
        with context.begin_transaction():
            context.run_migrations()


if context.is_offline_mode():
    run_offline()
else:
    run_online()
