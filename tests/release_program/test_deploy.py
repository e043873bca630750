"""Releases that go well."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import PROCFILE, Server, app_files, archive_of


def test_a_deploy_serves_its_release_and_every_process_carries_it(server: Server) -> None:
    reply = server.deploy(app_files("one"))
    assert server.get() == (200, "one")
    phases = "check upload build snapshot release start probe switch drain retire record prune"
    assert [phase.split()[0] for phase in reply.phases()] == phases.split()
    status = server.ask("status").data
    assert {item["name"] for item in status["processes"]} == {"web-blue", "worker"}
    assert {item["release"] for item in status["processes"]} == {reply.data["release"]}
    assert status["deploy"] is None


def test_deploys_and_rollbacks_go_back_and_forth_and_never_onto_a_bad_release(server: Server) -> None:
    first = server.deploy(app_files("one")).data["release"]
    second = server.deploy(app_files("two")).data["release"]
    assert server.get() == (200, "two")
    server.settle()
    assert set(server.states()) == {"demo-web-green", "demo-worker"}
    assert server.ask("rollback").data["release"] == first
    assert server.get() == (200, "one")
    assert {item["release"]: item["status"] for item in server.releases()} == {first: "live", second: "bad"}
    assert {item["release"] for item in server.ask("status").data["processes"]} == {first}
    assert server.ask("rollback").error["code"] == "nothing-to-roll-back"
    refused = server.ask("rollback", to=second).error
    assert refused["code"] == "no-such-release"
    assert "marked bad" in refused["message"]
    assert server.get() == (200, "one")


def test_a_restart_brings_changed_settings_and_changes_nothing_else(server: Server) -> None:
    assert server.ask("restart").data["release"] is None
    value = "a'b\"c\\d $HOME %(x)s `id` #\nzweite Zeile é"
    release = server.deploy().data["release"]
    server.set_env(CANARY=value)
    assert server.ask("restart").data["release"] == release
    assert server.get("/env") == (200, value)
    assert len(server.releases()) == 1


def test_settings_count_as_new_until_the_app_runs_with_them(server: Server) -> None:
    def stale_after(colour: str, *, first_host: bool = True) -> dict[str, list[str]]:
        server.configure(first_host=first_host)
        server.set_env(COLOUR=colour)
        return server.stale()

    assert server.stale() == {"follows": [], "leads": []}
    server.deploy(app_files("one", top="import os; assert os.environ.get('COLOUR') != 'red'"))
    time.sleep(2)  # Supervisor knows the second alone
    assert stale_after("red") == {"follows": [], "leads": ["demo"]}
    assert not server.ask("restart").ok
    assert server.stale() == {"follows": [], "leads": ["demo"]}
    assert stale_after("blue", first_host=False) == {"follows": ["demo"], "leads": []}
    assert stale_after("blue") == {"follows": [], "leads": ["demo"]}
    assert server.ask("restart").ok
    server.settle()
    assert server.stale() == {"follows": [], "leads": []}


@pytest.mark.parametrize(("paths", "each"), [(["/"] * 4, 250), (["/slow"] * 9, 15)], ids=["quick", "full-queue"])
def test_no_request_is_lost_while_releases_change_under_load(server: Server, paths: list[str], each: int) -> None:
    server.configure(processes={"web": "gunicorn -k gthread -w 2 --threads 2 demo:app"})
    server.deploy(app_files("one"))
    answers: Counter[object] = Counter()
    stop = threading.Event()

    def load(path: str) -> None:
        while not stop.is_set():
            try:
                answers[server.get(path)] += 1
            except OSError as error:
                answers[repr(error)] += 1

    threads = [threading.Thread(target=load, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    rollouts = []
    for version in ("two", "three", "two"):
        before = answers[200, version]
        rollouts.append(server.deploy(app_files(version)) if len(rollouts) < 2 else server.ask("rollback"))
        server.wait_for(lambda: answers[200, version] >= before + each, 30)  # noqa: B023 - called in this turn
    stop.set()
    for thread in threads:
        thread.join()
    assert all(rollout.ok for rollout in rollouts)
    assert set(answers) == {(200, "one"), (200, "two"), (200, "three")}
    assert server.get() == (200, "two")


def test_the_live_and_the_last_good_release_are_never_pruned(server: Server) -> None:
    server.configure(keep_releases=1, processes={"worker": "sleep 1000"})
    releases = [server.deploy(app_files(str(number))).data["release"] for number in range(3)]
    for _ in range(2):
        assert not server.deploy(app_files(top="import nothing_such")).ok
    server.settle()
    left = sorted(path.name for path in server.paths.releases.iterdir())
    assert left == releases[1:]
    assert server.ask("rollback").data["release"] == releases[1]


def test_shared_folders_outlive_releases_and_begin_with_what_the_commit_ships(server: Server) -> None:
    server.configure(shared=["uploads", "var/data"])
    files = app_files() | {"uploads/readme.txt": "shipped"}
    first = server.deploy(files).data["release"]
    shared = server.paths.shared
    assert (shared / "uploads/readme.txt").read_text() == "shipped"
    (shared / "uploads/readme.txt").write_text("changed by a visitor")
    (shared / "var/data/new").write_text("kept")
    second = server.deploy(files).data["release"]
    assert second > first
    folder = server.paths.current.resolve()
    assert (folder / "uploads/readme.txt").read_text() == "changed by a visitor"
    assert (folder / "var/data/new").read_text() == "kept"
    assert (folder / ".env").readlink() == server.paths.env


@pytest.mark.parametrize("build", ["rm uploads", "ln -sfn /etc uploads", "ln -sfn . uploads"])
def test_a_link_to_a_shared_folder_is_put_back_after_the_build(server: Server, build: str) -> None:
    server.configure(shared=["uploads"], build=build)
    server.deploy(app_files()).data  # noqa: B018
    assert (server.paths.current.resolve() / "uploads").readlink() == server.paths.shared / "uploads"


def test_a_build_that_leaves_a_folder_of_its_own_in_the_place_of_a_shared_one_is_refused(server: Server) -> None:
    server.configure(shared=["uploads"], build="rm uploads && mkdir uploads")
    refused = server.deploy(app_files()).error
    assert refused["code"] == "build-failed"
    assert "in the place of the shared folder uploads" in refused["message"]
    assert list(server.paths.releases.iterdir()) == []


def test_an_app_below_the_root_without_a_procfile_needs_only_its_folder_and_wsgi(server: Server) -> None:
    server.configure(
        directory="site",
        wsgi="demo:app",
        build="echo built by $WINDLASS_APP > built.txt",
        pip_packages=["packaging"],
    )
    files = {f"site/{name}": text for name, text in app_files().items() if name != "Procfile"}
    files["site/requirements.txt"] = "# nothing, and no gunicorn\n"
    server.deploy(files).data  # noqa: B018
    assert server.get() == (200, "one")
    folder = server.paths.current.resolve()
    assert (folder / "site/built.txt").read_text() == "built by demo\n"
    assert list(folder.glob(".venv/lib/*/site-packages/packaging"))
    assert list(folder.glob("site/__pycache__/demo.*.pyc"))


def test_an_app_may_move_its_commands_from_the_entry_to_a_procfile(server: Server) -> None:
    server.configure(wsgi="demo:app")
    contents = app_files("one")
    del contents["Procfile"]
    assert server.deploy(contents).ok
    server.configure(wsgi=None)
    reply = server.deploy(app_files("two"))
    assert reply.ok, reply.error
    assert server.get() == (200, "two")


def test_an_app_with_a_lock_gets_what_the_lock_says(server: Server) -> None:
    project = '[project]\nname = "demo"\nversion = "1"\nrequires-python = ">=3.11"\n'
    project += (
        'dependencies = ["gunicorn"]\n[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
    )
    folder = server.prefix / "checkout"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(project)
    subprocess.run([str(server.paths.uv), "lock", "--quiet"], cwd=folder, check=True)
    files = app_files() | {name: (folder / name).read_text() for name in ("pyproject.toml", "uv.lock")}
    del files["requirements.txt"]
    assert server.deploy(files | {"demo.py": files["demo.py"]}).ok, "the first release"
    second = server.deploy(files).data["release"]
    pth = next(server.paths.current.resolve().glob(".venv/lib/*/site-packages/*demo*.pth"))
    assert second in pth.read_text()
    stale = files | {"pyproject.toml": project.replace('"gunicorn"', '"gunicorn", "packaging"')}
    refused = server.deploy(stale).error
    assert refused["phase"] == "build"
    assert "uv.lock" in refused["message"] + refused["hint"]


def test_when_memory_runs_out_the_kernel_takes_an_app_first(live: Server) -> None:
    scores = [Path(f"/proc/{item.pid}/oom_score_adj").read_text() for item in live.supervisor.processes() if item.pid]
    own = int(Path("/proc/self/oom_score_adj").read_text())
    assert scores and all(int(score) > own for score in scores)


def test_processes_come_back_after_a_reboot_with_the_live_release(
    server: Server, supervisord: Callable[[Server], subprocess.Popen[bytes]]
) -> None:
    release = server.deploy(app_files("one")).data["release"]
    pid = server.supervisor.call("getPID")
    os.kill(pid, signal.SIGTERM)
    server.wait_for(lambda: not os.path.exists(f"/proc/{pid}") or _is_zombie(pid), 20)  # noqa: PTH110
    shutil.rmtree(server.paths.sockets)
    server.paths.green.parent.mkdir(parents=True)
    server.paths.supervisor_socket.unlink(missing_ok=True)
    server.boot()
    supervisord(server)
    server.wait_for(lambda: server.answers("one"))
    server.wait_for(lambda: {item["release"] for item in server.ask("status").data["processes"]} == {release})
    assert server.deploy(app_files("two")).ok


def test_one_generation_is_left_after_supervisord_was_killed(
    server: Server, supervisord: Callable[[Server], subprocess.Popen[bytes]]
) -> None:
    server.deploy(app_files("one"))
    orphan = next(item.pid for item in server.supervisor.processes() if item.group == "demo-worker")
    os.kill(server.supervisor.call("getPID"), signal.SIGKILL)
    server.paths.supervisor_socket.unlink()
    supervisord(server)
    server.wait_for(lambda: not os.path.exists(f"/proc/{orphan}") or _is_zombie(orphan))  # noqa: PTH110
    server.wait_for(lambda: server.states() == {"demo-web-blue": "RUNNING", "demo-worker": "RUNNING"})
    server.wait_for(lambda: server.answers("one"))
    assert server.deploy(app_files("two")).ok


def _is_zombie(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
        return file.read().rpartition(")")[2].split()[0] == "Z"


def test_several_processes_of_a_kind_follow_the_scale(server: Server) -> None:
    server.configure(scale={"worker": 2, "clock": 0})
    server.deploy(app_files() | {"Procfile": PROCFILE + "clock: python worker.py\n"})
    assert [item["name"] for item in server.ask("status").data["processes"]] == [
        "web-blue",
        "worker",
        "worker.2",
    ]


def test_a_start_that_is_cut_off_with_supervisord_leaves_nothing_to_start_at_boot(server: Server) -> None:
    data = archive_of(app_files(health="time.sleep(60)"))
    deploy = server.popen(server.deploy_request(data))
    assert deploy.stdin
    deploy.stdin.write(data)
    deploy.stdin.flush()
    server.wait_for(lambda: server.states().get("demo-web-blue") in ("STARTING", "RUNNING"), 30)
    left = [process.pid for process in server.supervisor.processes()]
    os.kill(server.supervisor.call("getPID"), signal.SIGKILL)
    out, _ = deploy.communicate(timeout=30)
    for pid in left:
        os.killpg(pid, signal.SIGKILL)
    assert json.loads(out.splitlines()[-1])["ok"] is False
    assert list(server.paths.supervisor_conf.iterdir()) == []
