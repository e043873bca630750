"""What is read and written, with no server at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import getpass
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from windlass import pack
from windlass.server import capture, checks, detach, envfile, lock, log, protocol, runner, settings, tail
from windlass.server.building import build, install, upload
from windlass.server.environment import Context
from windlass.server.errors import Failure
from windlass.server.log import ReleaseLog
from windlass.server.paths import Paths
from windlass.server.processes import command, procfile

WEB = command.Web("/run/x/blue.sock")
BOUND = "--bind unix:/run/x/blue.sock"
TIMES = "--timeout 60 --graceful-timeout 30"


@pytest.mark.parametrize(
    ("written", "placed"),
    [
        ("gunicorn app:app", f"exec python -m gunicorn {BOUND} {TIMES} app:app"),
        ("gunicorn -b :8000 app:app", f"exec python -m gunicorn {BOUND} {TIMES} app:app"),
        ("gunicorn -b0.0.0.0:$PORT -w 4 a:b", f"exec python -m gunicorn {BOUND} {TIMES} -w 4 a:b"),
        ("gunicorn --bind=[::]:80 --bind x a:b", f"exec python -m gunicorn {BOUND} {TIMES} a:b"),
        (".venv/bin/gunicorn a:b -D -p /run/p", f"exec python -m gunicorn {BOUND} {TIMES} a:b"),
        ("python3 -m gunicorn 'a:create(\"x y\")'", f"exec python -m gunicorn {BOUND} {TIMES} 'a:create(\"x y\")'"),
        ("gunicorn -t 5 --graceful-timeout=9 a:b", f"exec python -m gunicorn {BOUND} -t 5 --graceful-timeout=9 a:b"),
        ("gunicorn -c conf.py a:b", f"exec python -m gunicorn {BOUND} -c conf.py a:b"),
        ("uv run --frozen gunicorn a:b", f"exec python -m gunicorn {BOUND} {TIMES} a:b"),
        ("poetry run gunicorn a:b", f"exec python -m gunicorn {BOUND} {TIMES} a:b"),
        ("X=1 gunicorn a:b", f"X=1 exec python -m gunicorn {BOUND} {TIMES} a:b"),
        ("exec gunicorn a:b", f"exec python -m gunicorn {BOUND} {TIMES} a:b"),
        ("cd src && gunicorn a:b", f"cd src && exec python -m gunicorn {BOUND} {TIMES} a:b"),
        ("uvicorn --host 0.0.0.0 --port $PORT a:b", "exec python -m uvicorn --uds /run/x/blue.sock a:b"),
        ("hypercorn a:b -b :80", "exec python -m hypercorn --bind unix:/run/x/blue.sock --umask 0 a:b"),
        ("daphne -p 8001 a:b", "exec python -m daphne -u /run/x/blue.sock a:b"),
        (
            "uwsgi --http :80 --ini x.ini",
            "exec uwsgi --http-socket /run/x/blue.sock --chmod-socket=666 --die-on-term --ini x.ini",
        ),
        ("./serve --unix $SOCKET", "exec ./serve --unix $SOCKET"),
    ],
)  # fmt: skip
def test_a_web_command_is_placed_on_its_colours_socket(written: str, placed: str) -> None:
    assert command.web_command(written, WEB) == (placed, True)


def test_waitress_trusts_what_nginx_says_of_the_visitor() -> None:
    placed, _ = command.web_command("waitress-serve --port=5000 --call a:b", WEB)
    assert placed.startswith("exec python -m waitress --unix-socket=/run/x/blue.sock --unix-socket-perms=666")
    assert "--trusted-proxy=localhost" in placed
    assert placed.endswith("--call a:b")


def test_gunicorns_control_socket_is_off_where_there_is_one() -> None:
    placed, _ = command.web_command("gunicorn a:b", command.Web("/s", control_socket=True))
    assert "--no-control-socket" in placed


@pytest.mark.parametrize("written", ["flask run", "python manage.py runserver 0.0.0.0:8000", ""])
def test_a_web_command_that_cannot_be_placed_is_refused(written: str) -> None:
    with pytest.raises(Failure, match="no server that can be put on a socket"):
        command.web_command(written, WEB)


@pytest.mark.parametrize(
    ("written", "plain", "alone"),
    [
        ("celery -A a worker", "exec celery -A a worker", True),
        ("uv run rq worker", "exec rq worker", True),
        ("A='x y' python w.py 2>&1", "A='x y' exec python w.py 2>&1", True),
        ("python a.py | tee log", "python a.py | tee log", False),
        ("while true; do sleep 1; done", "while true ; do sleep 1 ; done", False),
        ("python a.py & python b.py", "python a.py & python b.py", False),
    ],
)
def test_a_command_takes_the_shells_place_where_it_can(written: str, plain: str, alone: bool) -> None:
    assert command.plain_command(written) == (plain, alone)


def test_a_procfile_is_read_as_heroku_reads_it() -> None:
    text = "\ufeff# comment\r\nweb: gunicorn a:b --log-file - \r\n\r\nrelease:  flask deploy\nclock-1: x: y"
    expected = {"web": "gunicorn a:b --log-file -", "release": "flask deploy", "clock-1": "x: y"}
    assert procfile.parse(text) == expected


def test_processes_of_the_entry_win_over_the_procfile(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_text("web: gunicorn a:b\nworker: old\n")
    entry = {"name": "x", "domains": ["x.org"], "processes": {"worker": "new"}, "wsgi": "c:d"}
    entry = settings.read(entry | {"build_user": getpass.getuser()})
    assert procfile.processes_of(entry, tmp_path) == {"web": "gunicorn a:b", "worker": "new"}


@pytest.mark.parametrize(
    "value", ["", "plain", "it's", 'a "b"', "a\\", "\\'", "x\ny\n", "$A `b` %c #d", "é\u2028\t", "'"]
)
def test_a_setting_comes_back_as_it_was_written(value: str) -> None:
    values = {"A": "1", "KEY": value, "Z": "2"}
    assert envfile.parse("# head\n\n" + envfile.render(values)) == values


def test_a_line_that_is_no_setting_is_named_but_not_shown() -> None:
    with pytest.raises(Failure, match="line 2") as caught:
        envfile.parse("A='1'\nSECRET=canary\n")
    assert "canary" not in caught.value.message


@pytest.mark.parametrize(
    "wrong",
    [
        {"app": "x;touch /tmp/p"},
        {"app": "../etc"},
        {"action": "explode"},
        {"commit": "main"},
        {"version": "a\nb"},
        {"to": "../../x"},
        {"archive": {"size": 0, "sha256": "0" * 64}},
        {"archive": {"size": True, "sha256": "0" * 64}},
        {"archive": {"size": 10**12, "sha256": "0" * 64}},
        {"archive": {"size": 5, "sha256": "x"}},
        {"lines": -1},
        {"command": "a\0b"},
        {"prefix": "/tmp"},
        {"protocol": 2},
    ],
)
def test_a_request_with_a_wrong_value_is_refused(wrong: dict[str, object]) -> None:
    archive = {"size": 5, "sha256": "0" * 64}
    good = {"protocol": 1, "action": "deploy", "app": "demo", "commit": "0" * 40, "version": "main", "archive": archive}
    assert protocol.parse(json.dumps(good).encode()).size == 5
    with pytest.raises(Failure):
        protocol.parse(json.dumps(good | wrong).encode())


def test_releases_are_ordered_by_name_even_when_the_clock_went_back(tmp_path: Path) -> None:
    paths = Paths(tmp_path, "demo")
    for folder in (paths.releases / "20991231T235959Z-0000000", paths.state):
        folder.mkdir(parents=True)
    log = ReleaseLog(paths)
    assert log.new_name("a" * 40) == "21000101T000000Z-aaaaaaa"


@pytest.mark.parametrize("far", ["99991231T235959Z", "99999999T999999Z", "21000101T000000Z"])
def test_a_name_from_far_in_the_future_is_refused_and_hinders_no_later_release(tmp_path: Path, far: str) -> None:
    paths = Paths(tmp_path, "demo")
    for folder in (paths.releases, paths.state):
        folder.mkdir(parents=True)
    log = ReleaseLog(paths)
    with pytest.raises(Failure, match="is more than a day ahead of this server's clock"):
        log.new_name("a" * 40, f"{far}-aaaaaaa")
    (paths.releases / "99999999T999999Z-0000000").mkdir()
    assert log.new_name("a" * 40) < "21000101"


def test_what_the_program_starts_or_asks_gains_no_rights_from_a_setuid_program() -> None:
    user, status = runner.user(getpass.getuser()), ["grep", "NoNewPrivs", "/proc/self/status"]
    printed: list[str] = []
    runner.run(runner.Task(status, user, Path("/"), {"PATH": "/bin"}), lambda _stream, line: printed.append(line))
    asked = capture.ask(capture.Question(status, user, {"PATH": "/bin"}))
    assert [line.split() for line in (*printed, asked.output)] == [["NoNewPrivs:", "1"]] * 2


@pytest.mark.parametrize("made", ["queue", "longer", "nothing"])
def test_a_key_that_the_build_user_replaced_is_not_the_one_that_was_written(tmp_path: Path, made: str) -> None:
    path = tmp_path / "key"
    if made == "queue":
        os.mkfifo(path)
    elif made == "longer":
        path.write_text("abc" * 1000)
    assert not build._holds(path, "abc", getpass.getuser())
    path.unlink(missing_ok=True)
    path.write_text("abc")
    assert build._holds(path, "abc", getpass.getuser())


def test_a_torn_line_in_the_release_log_is_skipped(tmp_path: Path) -> None:
    paths = Paths(tmp_path, "demo")
    paths.state.mkdir(parents=True)
    log = ReleaseLog(paths)
    log.add("r1", status="good")
    log.file.write_text(log.file.read_text() + '{"release": "r2", "sta')
    log.add("r3", status="failed")
    log.read()
    assert {name: log.status(name) for name in log.entries} == {"r1": "good", "r3": "failed"}


def test_the_exception_is_found_in_the_log() -> None:
    head = "Traceback (most recent call last):|  File x"
    lines = f"{head}|KeyError: 'a'||During handling|{head}|app.Broken: two words|[ERROR] Worker failed to boot"
    assert tail.reason(lines.split("|")) == "app.Broken: two words"
    lines += f"|{head}|gunicorn.errors.HaltServer: <HaltServer 'Worker failed to boot.' 3>"
    assert tail.reason(lines.split("|")) == "app.Broken: two words"
    logged = "ERROR flask_migrate: Error: no such table"
    assert tail.reason(["INFO start", logged]) == logged
    assert tail.reason(["nothing", "of note"]) == ""


# What gunicorn 27 prints for `gunicorn app:nope` with two workers, its tracebacks shortened. How it ends is a race.
GUNICORN_WITHOUT_APP = """\
[2026-11-22 02:06:57 +0000] [8721] [INFO] Starting gunicorn 27.0.1
[2026-11-22 02:06:57 +0000] [8721] [INFO] Listening at: http://127.0.0.1:8991 (8721)
[2026-11-22 02:06:57 +0000] [8721] [INFO] Using worker: sync
[2026-11-22 02:06:57 +0000] [8738] [INFO] Booting worker with pid: 8738
Failed to find attribute 'nope' in 'app'.
[2026-11-22 02:06:57 +0000] [8738] [INFO] Worker exiting (pid: 8738)
[2026-11-22 02:06:57 +0000] [8740] [INFO] Booting worker with pid: 8740
Failed to find attribute 'nope' in 'app'.
[2026-11-22 02:06:57 +0000] [8740] [INFO] Worker exiting (pid: 8740)
[2026-11-22 02:06:57 +0000] [8721] [ERROR] Worker (pid:8738) exited with code 4.
[2026-11-22 02:06:57 +0000] [8721] [ERROR] Worker (pid:8740) exited with code 4.
"""
GUNICORN_STOPS = """\
[2026-11-22 02:06:26 +0000] [8721] [ERROR] Shutting down: Master
[2026-11-22 02:06:26 +0000] [8721] [ERROR] Reason: App failed to load.
"""
GUNICORN_BREAKS = """\
Traceback (most recent call last):
  File "gunicorn/arbiter.py", line 270, in run
    handler()
gunicorn.errors.HaltServer: <HaltServer 'App failed to load.' 4>

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "gunicorn/arbiter.py", line 278, in run
    self.halt(reason=inst.reason, exit_status=inst.exit_status)
gunicorn.errors.HaltServer: <HaltServer 'App failed to load.' 4>
"""


@pytest.mark.parametrize("end", [GUNICORN_STOPS, GUNICORN_BREAKS, GUNICORN_BREAKS + GUNICORN_WITHOUT_APP])
def test_what_a_worker_of_gunicorn_said_wins_over_how_its_master_ended(end: str) -> None:
    lines = (GUNICORN_WITHOUT_APP + end).splitlines()
    assert tail.reason(lines) == "Failed to find attribute 'nope' in 'app'."
    lines = [line for line in lines if "Worker exiting" not in line]  # --log-level warning
    assert tail.reason([line for line in lines if "INFO" not in line]) == "Failed to find attribute 'nope' in 'app'."


def test_a_worker_that_said_nothing_leaves_the_masters_word() -> None:
    lines = [line for line in (GUNICORN_WITHOUT_APP + GUNICORN_STOPS).splitlines() if line.startswith("[")]
    assert tail.reason(lines) == lines[-1]


def test_the_exception_is_found_above_a_long_end_of_the_log(tmp_path: Path) -> None:
    paths = Paths(tmp_path, "demo")
    paths.log.parent.mkdir(parents=True)
    watch = tail.Watch(Context(paths, settings.read({"name": "demo", "domains": ["x.org"]})), [])
    masters = [tail.TRACEBACK, *["  File x"] * 2 * tail.LINES, "gunicorn.errors.HaltServer: <HaltServer 3>"]
    paths.log.write_text("\n".join([tail.TRACEBACK, "  File x", "KeyError: 'a'", *masters]) + "\n")
    lines = watch.lines()
    assert tail.because(lines) == ": KeyError: 'a'"
    assert tail.ending(lines) == [tail.TRACEBACK, "  File x", "KeyError: 'a'"]
    assert tail.ending(lines[:5]) == lines[:5]
    assert tail.ending(["x"] * 50) == ["x"] * tail.LINES


@pytest.mark.parametrize(
    "line",
    ["2026-11-21T10:43:50.123+00:00 host demo-web[12]: KeyError: 'x'", "Nov 21 10:43:50 host demo-web: KeyError: 'x'"],
)
def test_what_syslog_puts_before_a_line_is_taken_off(line: str) -> None:
    assert tail.bare(line, "demo") == "KeyError: 'x'"


@pytest.mark.parametrize(
    ("url", "service", "address"),
    [
        ("postgresql:///demo?host=/var/run/postgresql", "postgresql", "/var/run/postgresql/.s.PGSQL.5432"),
        ("postgresql://u:p@db.example.com:6000/x", "postgresql", ("db.example.com", 6000)),
        ("redis://:secret@localhost/0", "redis", ("localhost", 6379)),
        ("unix:///run/redis/x.sock?db=1", "redis", "/run/redis/x.sock"),
    ],
)
def test_a_service_is_looked_for_where_its_url_points(url: str, service: str, address: object) -> None:
    assert checks.address_of(url, service)[1] == address


def test_an_environment_is_shared_only_by_releases_that_declare_the_same(tmp_path: Path) -> None:
    entry = settings.read({"name": "x", "domains": ["x.org"]})
    context = Context(Paths(tmp_path, "x"), entry)
    (tmp_path / "requirements.txt").write_text("-r more.txt\nflask\n")
    (tmp_path / "more.txt").write_text("rich\n")
    first = install.plan(context, tmp_path, {"web": "gunicorn a:b"})
    assert install.plan(context, tmp_path, {"web": "gunicorn a:b"}).key == first.key
    (tmp_path / "more.txt").write_text("rich==14\n")
    assert install.plan(context, tmp_path, {"web": "gunicorn a:b"}).key != first.key


@pytest.mark.parametrize(("build", "installed"), [("", ["-r", "pyproject.toml"]), ("[build-system]\n", ["-e", "."])])
def test_an_app_is_installed_itself_only_if_it_is_a_package(tmp_path: Path, build: str, installed: list[str]) -> None:
    context = Context(Paths(tmp_path, "x"), settings.read({"name": "x", "domains": ["x.org"]}))
    (tmp_path / "pyproject.toml").write_text(f'[project]\nname = "x"\ndependencies = ["flask"]\n{build}')
    chosen = install.plan(context, tmp_path, {"web": "waitress-serve a:b"})
    assert install.commands(context.paths, chosen, tmp_path, copied=False)[0][-2:] == installed
    assert bool(install.commands(context.paths, chosen, tmp_path, copied=True)) == bool(build)


def test_the_packed_program_has_the_same_bytes_each_time_and_runs(tmp_path: Path) -> None:
    program = tmp_path / "windlass"
    assert pack.pack(program)
    assert not pack.pack(program)
    assert program.read_bytes().startswith(b"#!/bin/sh\n")
    request = json.dumps({"protocol": 1, "action": "status", "app": "no-such-app"})
    found = subprocess.run(
        [sys.executable, "-I", str(program)], input=request, capture_output=True, text=True, check=False
    )
    assert found.returncode == 1
    assert json.loads(found.stdout)["error"]["code"] == "unknown-app"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root unpacks the program")
def test_the_installed_program_is_compiled_once_and_then_starts_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, place = tmp_path / "windlass", tmp_path / "unpacked"
    for name in ("HEAD", "MAIN"):
        text = getattr(pack, name).replace(pack.INSTALLED, str(program)).replace(pack.UNPACKED, str(place))
        monkeypatch.setattr(pack, name, text.replace("/usr/bin/python3", sys.executable))
    pack.pack(program)
    assert subprocess.run([program, "x"], capture_output=True, check=False).returncode == 2
    (found,) = place.iterdir()
    assert list(found.glob("windlass/server/__pycache__/main.*.pyc"))
    assert {path.stat().st_mode & 0o022 for path in place.rglob("*")} == {0}
    shutil.rmtree(found / "windlass/server/__pycache__")
    (found / "windlass/server/main.py").write_text("def main(): return 42\n")
    assert subprocess.run([program, "x"], capture_output=True, check=False).returncode == 42


@pytest.mark.parametrize("target", ["x]\n[program:demo-worker]\nuser=root\n.sock", "../blue", ".sock"])
def test_a_live_socket_that_names_no_colour_is_not_believed(tmp_path: Path, target: str) -> None:
    paths = Paths(tmp_path, "demo")
    for folder in (paths.home, paths.sockets, paths.state):
        folder.mkdir(parents=True)
    paths.current.symlink_to("releases/20260101T000000Z-abcdef0")
    paths.live_socket.symlink_to(target)
    assert log.read_state(paths).colour == "blue"
    (paths.state / "state.json").write_text('{"release": "any", "colour": "green"}')
    assert log.read_state(paths).colour == ("blue" if target == "../blue" else "green")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to step down from")
def test_a_link_in_the_repository_shows_nothing_that_only_root_may_read() -> None:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        (folder / "secret").touch(mode=0o600)
        (folder / "secret").write_text("KEY='canary'\n")
        (folder / "Procfile").symlink_to(folder / "secret")
        chosen = settings.Settings(name="demo", domains=["a"], build_user="nobody")
        with pytest.raises(Failure, match="the Procfile cannot be read: Permission denied"):
            procfile.processes_of(chosen, folder)
        assert os.geteuid() == 0


def test_requirements_may_include_each_other_and_files_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app/requirements.txt").write_text("-r ../app/more.txt\n-c /etc/constraints.txt\n")
    (tmp_path / "app/more.txt").write_text("-r ../app/requirements.txt\n")
    found = [Path(name).name for name in install._included(tmp_path / "app", "requirements.txt")]
    assert sorted(found) == ["constraints.txt", "more.txt", "requirements.txt"]


def test_an_environment_is_not_shared_across_interpreters(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("gunicorn\n")
    context = Context(Paths(tmp_path, "demo"), settings.Settings(name="demo", domains=["a"]))
    context.paths.python.parent.mkdir(parents=True)
    keys = set()
    for version in ("python3.11", "python3.13"):
        context.paths.python.unlink(missing_ok=True)
        context.paths.python.symlink_to(version)
        keys.add(install.plan(context, tmp_path, {"web": "gunicorn a:b"}).key)
    assert len(keys) == 2


def test_a_look_at_the_lock_does_not_refuse_a_deploy(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    with path.open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.03, lambda: fcntl.flock(looking, fcntl.LOCK_UN)).start()
        lock.take(path, {"by": "alice"}).release()


def test_a_holder_that_has_just_gone_is_not_reported(tmp_path: Path) -> None:
    held = lock.take(tmp_path / "lock", {"by": "alice"})
    os.ftruncate(held.handle, 0)
    leaving = threading.Timer(0.4, held.close)
    leaving.start()
    lock.take(tmp_path / "lock", {"by": "bob"}).release()
    leaving.join()


@pytest.mark.parametrize(("action", "free"), [("deploy", False), ("watch", True)])
def test_the_check_is_refused_by_somebodys_work_and_not_by_the_end_of_a_watch(
    tmp_path: Path, action: str, free: bool
) -> None:
    paths = Paths(tmp_path, "demo")
    for folder in (paths.state, paths.home):
        folder.mkdir(parents=True)
    held = lock.take(paths.lock, {"action": action, "by": "alice"})
    context = Context(paths, settings.Settings(name="demo", domains=["demo.example.com"]))
    found = {check.name: check.ok for check in checks.all_checks(context)}
    held.release()
    assert found["lock"] is free


def test_the_lock_is_taken_on_a_full_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    lock.take(tmp_path / "lock", {"by": "alice"}).release()


@pytest.fixture
def small_files() -> Iterator[None]:
    """Let no file grow beyond 4 kB, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_an_upload_that_finds_no_room_is_told_so(tmp_path: Path, small_files: None) -> None:
    request = protocol.Request("deploy", "demo", size=9000)
    with pytest.raises(Failure, match="cannot be stored on the server: File too large"):
        upload.receive(io.BytesIO(b"x" * 9000), request, tmp_path / "archive")


def test_a_shared_folder_that_was_copied_in_part_is_copied_anew(tmp_path: Path, small_files: None) -> None:
    me = getpass.getuser()
    context = Context(Paths(tmp_path, "demo"), settings.Settings(name="demo", domains=["a"], user=me, build_user=me))
    context.paths.shared.mkdir(parents=True)
    source, target = tmp_path / "source", context.paths.shared / "data/uploads"
    source.mkdir()
    with resource_limit_off():
        (source / "large").write_bytes(b"x" * 9000)
    builder = build.Builder(context, tmp_path, log.ReleaseLog(context.paths), protocol.Events(os.open(os.devnull, 1)))
    with pytest.raises(Failure):
        builder._fill(target, source)
    assert not target.exists()
    with resource_limit_off():
        builder._fill(target, source)
    assert [path.name for path in target.iterdir()] == ["large"]
    assert [path.name for path in target.parent.iterdir()] == ["uploads"]


@contextlib.contextmanager
def resource_limit_off() -> Iterator[None]:
    limit, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))


def test_nothing_of_a_password_that_breaks_a_url_is_shown(tmp_path: Path) -> None:
    context = Context(Paths(tmp_path, "demo"), settings.Settings(name="demo", domains=["a"]))
    context.paths.env.parent.mkdir(parents=True)
    context.paths.env.write_text(envfile.render({"DATABASE_URL": "postgresql://u:can/ary@db/demo"}))
    assert checks._service(context, "postgresql") == "DATABASE_URL is not written as a URL: not looked at"


def test_an_error_that_nobody_foresaw_is_told_as_a_result_too(tmp_path: Path) -> None:
    paths = Paths(tmp_path, "demo")
    paths.settings.parent.mkdir(parents=True)
    paths.settings.write_text('{"name": "demo", "domains": ["a"]}')
    code = f"import sys; from pathlib import Path; from windlass.server.main import main; main(Path({str(tmp_path)!r}))"
    request = '{"protocol": 1, "action": "releases", "app": "demo"}\n'
    done = subprocess.run([sys.executable, "-c", code], input=request, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["error"]["code"] == "internal"


def _detached(work: detach.Work, switched: bool = False) -> detach.Detached:
    def nothing() -> None:
        return

    return detach.Detached(work, nothing, nothing, nothing, lambda: switched)


@pytest.mark.parametrize("switched", [True, False])
def test_a_program_killed_at_work_says_whether_visitors_have_another_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, switched: bool
) -> None:
    def work(_: protocol.Events) -> dict[str, object]:
        os.kill(os.getpid(), signal.SIGKILL)
        return {}

    with (tmp_path / "out").open("wb") as out, Path(os.devnull).open() as silent:
        monkeypatch.setattr(sys, "stdin", silent)
        ok = detach.run(_detached(work, switched), tmp_path / "errors", protocol.Events(out.fileno()))
    assert not ok
    assert json.loads((tmp_path / "out").read_text())["switched"] is switched


def test_a_process_with_the_name_of_a_colour_is_refused(tmp_path: Path) -> None:
    me = getpass.getuser()
    (tmp_path / "Procfile").write_text("web: gunicorn a:b\nweb-blue: python x.py\n")
    with pytest.raises(Failure, match="may not be named web-blue"):
        procfile.processes_of(settings.Settings(name="demo", domains=["a"], build_user=me), tmp_path)


def test_a_shortened_log_keeps_the_releases_that_are_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "KEPT_LINES", 8)
    paths = Paths(tmp_path, "demo")
    paths.state.mkdir(parents=True)
    there = "20260101T000000Z-abcdef0"
    (paths.releases / there).mkdir(parents=True)
    kept = ReleaseLog(paths)
    kept.add(there, status="good")
    for day in range(2, 12):
        kept.add(f"202601{day:02}T000000Z-abcdef0", status="failed")
    kept.compact()
    kept.read()
    assert sorted(kept.entries) == [there, "20260110T000000Z-abcdef0", "20260111T000000Z-abcdef0"]
    assert kept.good() == [there]


def test_of_all_that_tar_says_on_a_full_disk_the_reason_is_told() -> None:
    said = ["tar: many/1: Cannot open: No space left on device", "tar: tests: Cannot mkdir: No such file or directory"]
    said.append("tar: Exiting with failure status due to previous errors")
    assert build._last(said, 2) == said[0]
