"""A plan as it is made on the laptop: commits, packages, the live code, and what a person sees."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.repository import Repository
from windlass import confirm, source, verbs
from windlass.errors import WindlassError
from windlass.inventory import App, Environment, Host
from windlass.output import Screen
from windlass.plan import commits, difference, places, sources, titles
from windlass.plan import verb as planning
from windlass.plan.plan import Plan, judge
from windlass.plan.screen import View
from windlass.plan.sources import Code
from windlass.plan.statements import Thing
from windlass.source import Source

MODELS = '''"""Models."""
from db import Column, Model


class Message(Model):
    text = Column()
    words = Column()
    author_id = Column()
'''
MIGRATION = '"""Drop the words."""\nrevision = "0002"\n\n\ndef upgrade():\n    pass\n'
ALTERED = "BEGIN;\n\nALTER TABLE message DROP COLUMN words;\n\nCOMMIT;\n"
FACTS = {
    "live": {"release": "20260101T000000Z-abcdef0", "version": "main"},
    "packages": {"live": {"flask": "3.0", "six": "1.0"}, "new": {"flask": "3.1", "rich": "14.0"}},
    "processes": {"live": {"web": "gunicorn a"}, "new": {"web": "gunicorn a", "worker": "flask worker"}},
    "settings": ["PATH"],
    "database": {
        "tool": "alembic",
        "vendor": "postgresql",
        "version": 17,
        "applied": ["0001"],
        "problem": "",
        "tables": {"message": {"rows": 1200, "bytes": 90_000}},
        "migrations": [{"name": "0002", "sql": ALTERED, "undoable": True, "problem": ""}],
    },
    "disk": {"needs": 2_800_000, "free": 30_000_000_000},
}


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Return a repository with one commit."""
    made = Repository(tmp_path / "app")
    made.path.mkdir()
    made.git("init", "--quiet", "--initial-branch=main")
    made.write("models.py", MODELS)
    made.commit("First")
    return made


def source_of(repository: Repository) -> Source:
    return Source(repository.path, repository.git("rev-parse", "HEAD"), "main")


def plan_of(repository: Repository, live: str, **changed: object) -> Plan:
    facts = FACTS | {"live": {**FACTS["live"], "commit": live} if live else None} | changed
    app = App("demo", ("demo.test",), str(repository.path), "main", ".", "main.yml:1", ())
    found = source_of(repository)
    with source.archive(found, "") as archive:
        return judge(app, "web1", found, archive, facts)


def shown(plan: Plan, whole_sql: bool = False) -> str:
    return "\n".join(View(plan, io.StringIO(), whole_sql).lines())


def test_commits_since_the_live_release_newest_first(repository: Repository):
    live = repository.git("rev-parse", "HEAD")
    for name in ("Second", "Third"):
        repository.write("models.py", MODELS + f"# {name}\n")
        repository.commit(name)
    found = commits.between(source_of(repository), live)
    assert [item.subject for item in found.new] == ["Third", "Second"]
    assert (found.new_count, found.undone_count, found.new[0].author) == (2, 0, "Developer")


def test_what_the_live_release_has_and_the_version_lacks_would_be_undone(repository: Repository):
    first = repository.git("rev-parse", "HEAD")
    repository.write("models.py", MODELS + "# live\n")
    live = repository.commit("Live only")
    repository.branch_from("other", first)
    repository.write("models.py", MODELS + "# other\n")
    repository.commit("Other")
    found = commits.between(source_of(repository), live)
    assert [item.subject for item in found.undone] == ["Live only"]
    assert "1 commit would be undone" in shown(plan_of(repository, live))


def test_a_live_commit_that_is_not_in_the_repository_is_said(repository: Repository):
    assert "is not in this repository" in commits.between(source_of(repository), "a" * 40).problem


def test_only_the_apps_folder_of_a_larger_repository_counts(repository: Repository):
    repository.write("shop/app.py", "1")
    live = repository.commit("The shop")
    repository.write("models.py", "")
    repository.commit("Not the shop")
    found = Source(repository.path / "shop", repository.git("rev-parse", "HEAD"), "main")
    assert commits.between(found, live).new == []


def test_packages_are_added_removed_and_changed():
    found = difference.between({"a": "1", "b": "1", "c": "1"}, {"b": "2", "c": "1", "d": "1"})
    assert (found.added, found.removed, found.changed) == ({"d": "1"}, {"a": "1"}, {"b": ("1", "2")})


def archive_of(*names: str) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = 1
            archive.addfile(entry, io.BytesIO(b"1"))
    return buffer


def test_only_the_apps_own_code_is_read():
    own = ("app/run.py", "app/pkg/views.py", "app/.env.example", "app/templates/a.html")
    others = ("other/x.py", "app/tests/a.py", "app/test_b.py", "app/.venv/c.py", "app/node_modules/d.py", "app/e.css")
    code = sources.read(archive_of(*own, *others), "app")
    assert sorted([*code.python, *code.examples, *code.templates]) == [
        ".env.example",
        "pkg/views.py",
        "run.py",
        "templates/a.html",
    ]


def test_the_live_code_is_searched_for_models_first():
    code = Code(python={"a.py": "print(message.words)", "models.py": MODELS})
    assert places.find(code, Thing("column", "words", "message")) == ["models.py:7", "a.py:1"]
    assert places.find(code, Thing("table", "message")) == ["models.py:5"]
    assert places.find(code, Thing("table", "app_message")) == ["models.py:5"]
    assert places.find(code, Thing("column", "unused", "message")) == []


def test_the_live_code_is_searched_in_sql_and_templates_and_not_in_migrations():
    code = Code(
        python={"a.py": "run('SELECT id, words FROM message')\nx = 'two words'", "migrations/1.py": "m.words"},
        templates={"b.html": "<p>{{ message.author_name }}</p>"},
    )
    assert places.find(code, Thing("column", "words", "message")) == ["a.py:1"]
    assert places.find(code, Thing("column", "author_name", "message")) == ["b.html:1"]


def test_a_migration_is_called_what_its_author_calls_it():
    files = {"migrations/versions/0002_drop.py": MIGRATION, "blog/migrations/0003_tag.py": "x = 1"}
    assert titles.of(Code(python=files)) == {
        "0002": ("Drop the words.", "migrations/versions/0002_drop.py"),
        "blog.0003_tag": ("", "blog/migrations/0003_tag.py"),
    }


def test_the_screen_shows_all_parts_and_the_worst_verdict_in_capitals(repository: Repository):
    live = repository.git("rev-parse", "HEAD")
    repository.write("migrations/versions/0002_drop.py", MIGRATION)
    repository.write("config.py", "import os\nTOKEN = os.environ['TOKEN']\nPORT = os.getenv('PORT', 80)\n")
    repository.commit("Drop the words")
    text = shown(plan_of(repository, live))
    assert text.splitlines()[0].startswith("demo main (")
    for line in (
        "commits     1 commit since the live release",
        "packages    + rich 14.0",
        "            - six 1.0",
        "            ~ flask 3.0 -> 3.1",
        "migrations  1 pending (alembic, PostgreSQL 17)",
        "            0002  BREAKS THE CODE NOW RUNNING, cannot be undone  Drop the words.",
        "              - drops the column message.words, which the live code names",
        "                models.py:7",
        "                ALTER TABLE message DROP COLUMN words;",
        "settings    MISSING on the server, and the code cannot do without:",
        "              TOKEN  config.py:2",
        "            1 other has its default",
        "processes   + worker: flask worker",
        "disk        2.8 MB needed, 30.0 GB free",
    ):
        assert line in text.splitlines(), text


def test_long_sql_is_cut_and_says_how_to_see_the_rest(repository: Repository):
    sql = "\n".join(f"CREATE TABLE t{number} (id int);" for number in range(20))
    migration = {"name": "0002", "sql": sql, "undoable": True, "problem": ""}
    database = {**FACTS["database"], "migrations": [migration]}
    plan = plan_of(repository, repository.git("rev-parse", "HEAD"), database=database)
    assert "and 12 more lines (--sql shows them)" in shown(plan)
    assert "CREATE TABLE t19" not in shown(plan)
    assert "CREATE TABLE t19" in shown(plan, whole_sql=True)


def test_beside_a_lock_stands_how_large_its_table_is(repository: Repository):
    migration = {"name": "0002", "sql": "CREATE INDEX i ON message (text)", "undoable": True, "problem": ""}
    database = {**FACTS["database"], "migrations": [migration]}
    plan = plan_of(repository, repository.git("rev-parse", "HEAD"), database=database)
    assert "CONCURRENTLY (message: about 1200 rows, 90 kB)" in " ".join(shown(plan).split())
    assert all(len(line) <= 110 for line in shown(plan).splitlines())
    assert plan.as_json()["migrations"][0]["verdicts"][0]["tables"] == {"message": {"rows": 1200, "bytes": 90_000}}


def test_nothing_new_is_said_in_few_lines(repository: Repository):
    database = {**FACTS["database"], "migrations": []}
    same = {"live": {"a": "1"}, "new": {"a": "1"}}
    live = repository.git("rev-parse", "HEAD")
    text = shown(plan_of(repository, live, database=database, packages=same, processes=same))
    assert len(text.splitlines()) == 6
    for part in ("none is new", "no change", "none is pending (alembic)", "none is missing"):
        assert part in text


def test_a_first_release_is_compared_with_nothing(repository: Repository):
    text = shown(plan_of(repository, ""))
    assert "as its first release" in text
    assert "BREAKS" not in text


def test_what_an_app_prints_cannot_change_the_terminal(repository: Repository):
    database = {**FACTS["database"], "migrations": [], "problem": "\x1b[31mred"}
    assert "\x1b" not in shown(plan_of(repository, "", database=database))


def test_json_has_the_documented_keys(repository: Repository):
    live = repository.git("rev-parse", "HEAD")
    made = json.loads(json.dumps(plan_of(repository, live).as_json()))
    page = (Path(__file__).parents[2] / "docs" / "plan.md").read_text()
    for key in [*made, *made["migrations"][0], *made["settings"], *made["commits"]]:
        assert f"`{key}`" in page, f"docs/plan.md does not name {key}"
    assert made["verdict"] == made["migrations"][0]["verdict"] == "breaks-running-code"
    assert made["packages"]["changed"] == {"flask": ["3.0", "3.1"]}
    assert made["migrations"][0]["sql"] == "ALTER TABLE message DROP COLUMN words;"


@pytest.fixture
def requests(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record what `fab deploy` asks the one server of an inventory for."""
    made: list[str] = []
    host = Host("web1", "192.0.2.1", 22, "deploy", None, repository.path / "known_hosts")
    app = App("demo", ("demo.test",), str(repository.path), "main", ".", "main.yml:1", (host,))

    def call(_host: Host, _screen: Screen, message: dict[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
        made.append(message["action"])
        return FACTS | {"live": None} if message["action"] == "plan" else {"release": "r1"}

    monkeypatch.setattr(verbs, "call", call)
    monkeypatch.setattr(planning, "call", call)
    monkeypatch.setattr(verbs.inventory, "load", lambda _: Environment(repository.path, (app,), (host,)))
    monkeypatch.setattr("sys.stdin", io.StringIO())
    return made


def test_a_deploy_with_a_plan_stops_where_nobody_agrees(requests: list[str], capsys: pytest.CaptureFixture[str]):
    assert verbs.deploy(None, None, None, False, plan=True) == 1
    assert requests == ["plan"]
    seen = capsys.readouterr()
    assert "as its first release" in seen.out
    assert seen.err.splitlines()[-1].endswith("there is no terminal to ask in: type --yes")


def test_a_deploy_with_a_plan_goes_on_with_yes(requests: list[str]):
    assert verbs.deploy(None, None, None, False, plan=True, yes=True) == 0
    assert requests == ["plan", "deploy"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_without_a_terminal_nobody_is_asked_and_yes_is_to_be_typed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(WindlassError, match="type --yes") as caught:
        confirm.ask("release demo main?", yes=False)
    assert caught.value.status == 1
    confirm.ask("release demo main?", yes=True)


@pytest.mark.parametrize(("answer", "goes_on"), [("y", True), ("YES", True), ("", False), ("n", False)])
def test_on_a_terminal_only_yes_goes_on(answer: str, goes_on: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))
    if goes_on:
        confirm.ask("release demo main?", yes=False)
    else:
        with pytest.raises(WindlassError, match="nothing was changed"):
            confirm.ask("release demo main?", yes=False)
