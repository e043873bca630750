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


DJANGO_SETTINGS = """
import os
from urllib.parse import parse_qs, urlsplit

url = urlsplit(os.environ["DATABASE_URL"])
query = parse_qs(url.query)
SECRET_KEY = "x"
ROOT_URLCONF = "site_urls"
INSTALLED_APPS = ["django.contrib.contenttypes", "diary"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
DATABASES = {"default": {
    "ENGINE": "django.db.backends.postgresql",
    "NAME": url.path[1:], "HOST": query["host"][0], "USER": query["user"][0],
}}
"""
MANAGE = """
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
DJANGO_MIGRATION = """
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [{dependency}]
    operations = [{operation}]
"""
ENTRY = "migrations.CreateModel('Entry', [('id', models.AutoField(primary_key=True)), ('text', models.TextField())])"
MOOD = "migrations.AddField('entry', 'mood', models.TextField(null=True))"
SHOUT = "migrations.RunPython(lambda apps, editor: None)"


def django_app(version: str, *operations: str) -> dict[str, str]:
    """Return an app with one Django app `diary`, a migration for each of the operations."""
    files = app_files(version) | {"requirements.txt": PSYCOPG + "django\n", "manage.py": MANAGE}
    files |= {"site_settings.py": DJANGO_SETTINGS, "site_urls.py": "urlpatterns = []\n"}
    files |= {"diary/__init__.py": "", "diary/models.py": "", "diary/migrations/__init__.py": ""}
    files["Procfile"] += "release: python manage.py migrate --noinput\n"
    before = ""
    for number, operation in enumerate(operations, 1):
        name = f"{number:04}_step"
        files[f"diary/migrations/{name}.py"] = DJANGO_MIGRATION.format(dependency=before, operation=operation)
        before = f"('diary', '{name}')"
    return files
