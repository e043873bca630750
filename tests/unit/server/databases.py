"""Apps that migrate a real PostgreSQL: one by Alembic, one by Django."""

from __future__ import annotations

from conftest import app_files

PSYCOPG = "gunicorn\npsycopg[binary]\n"
INI = "[alembic]\nscript_location = migrations\n"
ENV = """
import os
import sqlalchemy as sa
from alembic import context

url = os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:")
with sa.create_engine(url).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
REVISION = """
from alembic import op
import sqlalchemy as sa

revision: str = {name!r}
down_revision = {down!r}

def upgrade():
    {up}

def downgrade():
    {back}
"""
FIRST = ("0001", None, "op.execute('CREATE TABLE note (id serial PRIMARY KEY, text text)')", "op.drop_table('note')")
SECOND = (
    "0002",
    "0001",
    "op.add_column('note', sa.Column('author', sa.Text()))",
    "op.drop_column('note', 'author')",
)
THIRD = ("0003", "0002", "op.execute('CREATE TABLE tag (id int)')", "raise NotImplementedError('no way back')")


def alembic_app(version: str, *revisions: tuple[str, str | None, str, str], **more: str) -> dict[str, str]:
    """Return an app whose code needs the last of the revisions."""
    files = app_files(version) | {
        "requirements.txt": PSYCOPG + "alembic\n",
        "alembic.ini": INI,
        "migrations/env.py": ENV,
    }
    files["Procfile"] += "release: python -m alembic upgrade heads\n"
    for name, down, up, back in revisions:
        files[f"migrations/versions/{name}.py"] = REVISION.format(name=name, down=down, up=up, back=back)
    return files | more
