"""A plan on the server: the version is built, looked at and removed, and nothing else changes."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Reply, Server, app_files, archive_of, make_server

from tests.support.cluster import Cluster, cluster
from windlass.plan import verdicts
from windlass.plan.verdicts import Pending, judge

ALEMBIC_ENV = """
import os
from alembic import context
from sqlalchemy import create_engine

url = os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg:")
if context.is_offline_mode():
    context.configure(url=url, literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
else:
    with create_engine(url).connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
"""
REVISION = """
import sqlalchemy as sa
from alembic import op

revision = {name!r}
down_revision = {down!r}


def upgrade():
    {up}


def downgrade():
    {back}
"""
NOTE = "op.create_table('note', sa.Column('id', sa.Integer, primary_key=True), sa.Column('text', sa.Text))"
UPS = [
    (NOTE, "op.drop_table('note')"),
    ("op.add_column('note', sa.Column('mood', sa.Text()))", "op.drop_column('note', 'mood')"),
    ("op.create_index('ix', 'note', ['text'])", "op.drop_index('ix')"),
    ("op.drop_column('note', 'text')", "op.add_column('note', sa.Column('text', sa.Text()))"),
    ("op.execute('CREATE TABLE tag (id int)')", "raise NotImplementedError"),
    ("op.get_bind().execute(sa.text('SELECT 1')).scalar()", "pass"),
    ("op.execute('CREATE TABLE last (id int)')", "op.execute('DROP TABLE last')"),
]
MODELS = """
from django.db import models

class Note(models.Model):
    text = models.TextField()
"""
MANAGE = """
import os, sys
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings")
from django.core.management import execute_from_command_line
execute_from_command_line(sys.argv)
"""
SETTINGS = """
import os
SECRET_KEY = "x"
INSTALLED_APPS = ["notes"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
DATABASES = {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": "demo", "USER": "demo-owner",
                         "HOST": os.environ["DATABASE_HOST"]}}
"""
DJANGO = """
from django.db import migrations, models

def copy(apps, schema_editor):
    pass

class Migration(migrations.Migration):
    dependencies = {dependencies}
    operations = [{operation}]
"""
ID = "('id', models.BigAutoField(primary_key=True))"
OPERATIONS = [
    f"migrations.CreateModel('Note', [{ID}, ('text', models.TextField())])",
    "migrations.AddField('note', 'likes', models.IntegerField(default=0))",
    "migrations.AlterField('note', 'text', models.TextField(db_index=True))",
    "migrations.RunPython(copy)",
]


def alembic_app(count: int, **more: str) -> dict[str, str]:
    """Return an app with the first migrations of `UPS`."""
    files = app_files("one") | {
        "requirements.txt": "gunicorn\nalembic\npsycopg[binary]\n",
        "alembic.ini": "[alembic]\nscript_location = migrations\n",
        "migrations/env.py": ALEMBIC_ENV,
    }
    files["Procfile"] += "release: python -m alembic upgrade heads\n"
    for number, (up, back) in enumerate(UPS[:count], 1):
        names = {"name": f"{number:04}", "down": f"{number - 1:04}" if number > 1 else None}
        files[f"migrations/versions/{number:04}.py"] = REVISION.format(up=up, back=back, **names)
    return files | more


def django_app(count: int) -> dict[str, str]:
    files = app_files("one") | {
        "requirements.txt": "gunicorn\ndjango\npsycopg[binary]\n",
        "manage.py": MANAGE,
        "site_settings.py": SETTINGS,
        "notes/__init__.py": "",
        "notes/models.py": MODELS,
        "notes/migrations/__init__.py": "",
    }
    files["Procfile"] += "release: python manage.py migrate --noinput\n"
    for number, operation in enumerate(OPERATIONS[:count], 1):
        before = f"[('notes', 'm{number - 1:04}')]" if number > 1 else "[]"
        text = DJANGO.format(dependencies=before, operation=operation)
        files[f"notes/migrations/m{number:04}.py"] = text
    return files


def plan(server: Server, contents: dict[str, str]) -> Reply:
    data = archive_of(contents)
    request = server.deploy_request(data) | {"action": "plan"}
    request.pop("release_command")
    return server.ask(str(request.pop("action")), data=data, **request)


def traces(server: Server) -> dict[str, object]:
    """Return everything that a plan must leave as it was."""
    server.settle()
    paths = server.paths
    return {
        "releases": sorted(path.name for path in paths.releases.iterdir()),
        "log": (paths.state / "releases.jsonl").read_bytes(),
        "current": paths.current.readlink(),
        "processes": sorted((item.name, item.pid) for item in server.supervisor.processes()),
        "configuration": {path.name: path.read_bytes() for path in paths.supervisor_conf.iterdir()},
        "shared": sorted(path.name for path in paths.shared.iterdir()),
        "trials": [*(paths.home / "trials").glob("*"), *(paths.state / "trials").glob("*")],
    }


def verdicts_of(reply: Reply) -> dict[str, list[str]]:
    """Judge what the server told, for live code that names all there is."""
    found = reply.data["database"]
    told = found["migrations"]
    pending = [Pending(item["name"], "", item["sql"], item["undoable"], item["problem"]) for item in told]
    judged = judge(pending, str(found["version"]), lambda thing: ["models.py:1"], found["vendor"])
    return {item.pending.name: item.codes for item in judged}


@pytest.fixture(scope="module")
def postgres() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


@pytest.fixture(scope="module")
def made(package_cache: Path, supervisord: Callable[..., object]) -> Callable[..., Server]:
    """Start servers that are patient: here nothing is about time."""

    def make(contents: dict[str, str], database: str = "", **env: str) -> Server:
        server = make_server(package_cache)
        supervisord(server)
        server.configure(health_timeout=60, services=["postgresql"] if database else [])
        server.set_env(**({"DATABASE_URL": database} if database else {}), **env)
        assert server.deploy(contents).data
        return server

    return make


@pytest.fixture(scope="module")
def live(made: Callable[..., Server]) -> Server:
    return made(app_files("one"))


@pytest.fixture(scope="module")
def migrated(made: Callable[..., Server], postgres: Cluster) -> Server:
    """Return a server whose app has the first migration of Alembic's."""
    postgres.create("demo")
    return made(alembic_app(1), postgres.url("demo", "demo"), CANARY="secret-canary")


def test_a_plan_tells_packages_processes_settings_and_disk_and_changes_nothing(live: Server):
    before = traces(live)
    reply = plan(
        live,
        app_files(
            "two",
            Procfile="web: gunicorn demo:app\nclock: python worker.py\n",
            requirements__txt="gunicorn\nsix==1.17.0\n",
        ),
    )
    data = reply.data
    assert data["live"]["release"] == before["current"].name  # type: ignore[attr-defined]
    assert data["packages"]["new"].keys() - data["packages"]["live"].keys() == {"six"}
    assert data["packages"]["new"]["six"] == "1.17.0"
    assert set(data["processes"]["live"]) == {"web", "worker"}
    assert set(data["processes"]["new"]) == {"web", "clock"}
    assert {"PATH", "WINDLASS_RELEASE"} <= set(data["settings"])
    assert 4096 <= data["disk"]["needs"] < 200_000_000 < data["disk"]["free"]
    assert data["database"]["tool"] is None
    assert reply.phases() == ["check done", "upload done", "build done", "look done"]
    assert traces(live) == before
    assert live.answers("one")


def test_a_version_that_cannot_be_built_is_refused_and_leaves_nothing(live: Server):
    before = traces(live)
    reply = plan(live, app_files("two", requirements__txt="no-such-package-at-all==1\n"))
    assert (reply.status, reply.error["phase"]) == (1, "build")
    assert traces(live) == before


def test_what_a_killed_plan_left_is_swept_up_by_the_next_plan_or_deploy(live: Server):
    trials = live.paths.home / "trials"
    live.configure(build="sleep 60")
    try:
        for action in (lambda: plan(live, app_files("two")), lambda: live.deploy(app_files("one"))):
            live.configure(build="sleep 60")
            data = archive_of(app_files("two"))
            process = live.popen(live.deploy_request(data) | {"action": "plan"})
            assert process.stdin
            process.stdin.write(data)
            process.stdin.flush()
            live.wait_for(lambda: any(trials.glob("*/.venv/bin/python")))
            time.sleep(0.2)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            assert any(trials.iterdir())
            live.configure(build="")
            assert action().data
            assert not any(trials.iterdir())
            assert not any((live.paths.state / "trials").iterdir())
    finally:
        live.configure(build="")


def test_a_plan_does_not_sweep_up_another_that_is_being_made(live: Server):
    trials = live.paths.home / "trials"
    live.configure(build="while [ ! -e ../../go ]; do sleep 0.05; done")
    data = archive_of(app_files("two"))
    slow = live.popen(live.deploy_request(data) | {"action": "plan"})
    try:
        assert slow.stdin
        slow.stdin.write(data)
        slow.stdin.flush()
        live.wait_for(lambda: any(trials.glob("*/.venv/bin/python")))
        live.configure(build="")
        assert plan(live, app_files("three")).ok
        assert live.deploy(app_files("one")).ok
        assert any(trials.glob("*/.venv/bin/python"))
    finally:
        (live.paths.home / "go").write_text("")
        out = slow.communicate(timeout=60)[0]
        (live.paths.home / "go").unlink()
    # A release went live meanwhile: what was compared is no longer so.
    assert b'"plan-overtaken"' in out
    assert not any(trials.iterdir())


def test_a_plan_is_refused_while_a_deploy_is_under_way(live: Server):
    live.configure(build="while [ ! -e ../../go ]; do sleep 0.05; done")
    data = archive_of(app_files("one"))
    deploy = live.popen(live.deploy_request(data))
    try:
        assert deploy.stdin
        deploy.stdin.write(data)
        deploy.stdin.flush()
        live.wait_for(lambda: bool(live.ask("status").data["deploy"]))
        reply = plan(live, app_files("two"))
        assert reply.error["code"] == "locked"
        assert "alice@laptop" in reply.error["message"]
    finally:
        (live.paths.home / "go").write_text("")
        deploy.communicate(timeout=60)
        (live.paths.home / "go").unlink()
        live.configure(build="")
    assert deploy.returncode == 0


def test_a_shared_folder_is_not_made_by_a_plan(live: Server):
    live.configure(shared=["uploads"])
    try:
        before = traces(live)
        assert plan(live, app_files("two")).ok
        assert traces(live) == before
    finally:
        live.configure(shared=[])


def test_the_pending_migrations_of_alembic_have_their_sql_and_their_verdicts(migrated: Server, postgres: Cluster):
    before = traces(migrated), postgres.sql("SELECT version_num FROM alembic_version", "demo")
    reply = plan(migrated, alembic_app(5))
    assert verdicts_of(reply) == {
        "0002": [verdicts.HARMLESS],
        # Alembic runs them in one transaction: the column of 0002 keeps its lock while the index is built.
        "0003": [verdicts.READS],
        "0004": [verdicts.BREAKS, verdicts.FINAL],
        "0005": [verdicts.FINAL],
    }
    assert reply.data["database"]["applied"] == ["0001"]
    assert reply.data["database"]["version"] >= 15
    assert reply.data["database"]["tables"]["note"]["bytes"] > 0
    assert "secret-canary" not in str(reply.events)
    assert (traces(migrated), postgres.sql("SELECT version_num FROM alembic_version", "demo")) == before


def test_a_migration_that_asks_the_database_cannot_be_judged_and_those_before_it_can(migrated: Server):
    found = verdicts_of(plan(migrated, alembic_app(7)))
    assert found["0002"] == [verdicts.HARMLESS]
    assert verdicts.UNKNOWN in found["0006"]
    assert verdicts.UNKNOWN in found["0007"]


def test_a_plan_can_only_read_the_database(migrated: Server, postgres: Cluster):
    write = "\nwith create_engine(url).begin() as connection:\n"
    write += "    connection.exec_driver_sql('CREATE TABLE written (id int)')\n"
    head, _, rest = ALEMBIC_ENV.partition("\nif context")
    reply = plan(migrated, alembic_app(2) | {"migrations/env.py": f"{head}{write}\nif context{rest}"})
    assert "read-only transaction" in reply.data["database"]["migrations"][0]["problem"]
    assert postgres.sql("SELECT to_regclass('written')", "demo") == [""]


def test_nothing_is_pending_for_the_version_that_is_live(migrated: Server):
    assert plan(migrated, alembic_app(1)).data["database"]["migrations"] == []


def test_a_database_that_is_ahead_of_the_version_is_said(migrated: Server):
    found = plan(migrated, alembic_app(0)).data["database"]
    assert "0001" in found["problem"]


def test_the_pending_migrations_of_django_have_their_sql_and_their_verdicts(
    made: Callable[..., Server], postgres: Cluster
):
    postgres.create("django")
    files = {name: text.replace('"demo', '"django') for name, text in django_app(4).items()}
    first = {name: text for name, text in files.items() if "migrations/m" not in name or "m0001" in name}
    server = made(first, postgres.url("django", "django"), DATABASE_HOST=str(postgres.folder))
    reply = plan(server, files)
    assert verdicts_of(reply) == {
        # Django drops the default that it gave the column: what the live code inserts has none.
        "notes.m0002": [verdicts.BREAKS],
        "notes.m0003": [verdicts.WRITES],
        "notes.m0004": [verdicts.FINAL, verdicts.UNKNOWN],
    }
    assert 'ADD COLUMN "likes" integer' in reply.data["database"]["migrations"][0]["sql"]
    assert postgres.sql("SELECT name FROM django_migrations", "django") == ["m0001"]
