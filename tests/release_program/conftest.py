"""A server in a temporary directory: a real supervisord, real gunicorn, real uv, and nobody else's users."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import io
import json
import os
import shutil
import signal
import socketserver
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from windlass.server import envfile, lock
from windlass.server.errors import Failure
from windlass.server.paths import Paths
from windlass.server.processes.probe import _Unix
from windlass.server.processes.supervisor import Supervisor

ROOT = Path(__file__).parents[3]
APP = "demo"

APP_CODE = """
import os, time

VERSION = {version!r}
{top}

def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/slow":
        time.sleep(0.3)
    {health}
    body = VERSION if path != "/env" else os.environ.get("CANARY", "")
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [body.encode()]
"""
WORKER = "import os, time\nprint('working', os.environ['WINDLASS_RELEASE'], flush=True)\ntime.sleep(3600)\n"
PROCFILE = "web: gunicorn -w 2 -b 0.0.0.0:8000 demo:app\nworker: python worker.py\n"


def app_files(version: str = "one", *, top: str = "", health: str = "", **more: str) -> dict[str, str]:
    """Return a small app: `top` runs at import, `health` at every request."""
    return {
        "demo.py": APP_CODE.format(version=version, top=top, health=health or "pass"),
        "worker.py": WORKER,
        "Procfile": PROCFILE,
        "requirements.txt": "gunicorn\n",
    } | {name.replace("__", "."): text for name, text in more.items()}


def archive_of(contents: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in contents.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return buffer.getvalue()


@dataclass
class Reply:
    """What the program said, and how it ended."""

    events: list[dict[str, object]]
    status: int
    stderr: str

    @property
    def result(self) -> dict:
        assert self.events, self.stderr
        return self.events[-1]

    @property
    def ok(self) -> bool:
        return self.result.get("ok") is True

    @property
    def data(self) -> dict:
        assert self.ok, json.dumps(self.events[-3:], indent=1) + self.stderr
        return self.result["data"]

    @property
    def error(self) -> dict:
        assert not self.ok, self.events
        return self.result["error"]

    def output(self) -> str:
        return "\n".join(str(e["line"]) for e in self.events if e["event"] == "output")

    def phases(self) -> list[str]:
        return [f"{e['phase']} {e['status']}" for e in self.events if e["event"] == "phase" and e["status"] != "start"]


@dataclass
class Server:
    """One server with one app, driven as fab drives it: a process, a request, events."""

    prefix: Path
    settings: dict[str, object] = field(default_factory=dict)
    commits: int = 0

    @property
    def paths(self) -> Paths:
        return Paths(self.prefix, APP)

    @property
    def supervisor(self) -> Supervisor:
        return Supervisor(self.paths.supervisor_socket)

    def configure(self, **values: object) -> None:
        self.settings |= values
        self.paths.settings.write_text(json.dumps(self.settings))

    def set_env(self, **values: str) -> None:
        self.paths.env.write_text(envfile.render(values))

    def popen(self, request: dict[str, object]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [str(self.paths.program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdin
        line = {"protocol": 1, "app": APP, "by": "alice@laptop"} | request
        process.stdin.write(json.dumps(line).encode() + b"\n")
        process.stdin.flush()
        return process

    def ask(self, action: str, *, data: bytes = b"", **values: object) -> Reply:
        process = self.popen({"action": action} | values)
        out, err = process.communicate(data, timeout=90)
        events = [json.loads(line) for line in out.splitlines()]
        return Reply(events, process.returncode, err.decode())

    def deploy_request(self, data: bytes) -> dict[str, object]:
        self.commits += 1
        return {
            "action": "deploy",
            "commit": hashlib.sha1(str(self.commits).encode()).hexdigest(),  # noqa: S324
            "version": "main",
            "archive": {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()},
            "release_command": True,
        }

    def deploy(self, contents: dict[str, str] | None = None, **values: object) -> Reply:
        data = archive_of(contents or app_files())
        request = self.deploy_request(data) | values
        return self.ask(str(request.pop("action")), data=data, **request)

    def get(self, path: str = "/") -> tuple[int, str]:
        connection = _Unix(self.paths.live_socket, 20)
        try:
            connection.request("GET", path, headers={"Connection": "close"})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def answers(self, text: str) -> bool:
        try:
            return self.get() == (200, text)
        except OSError:
            return False

    def releases(self) -> list[dict]:
        return self.ask("releases").data["releases"]

    def states(self) -> dict[str, str]:
        return {process.group: process.state for process in self.supervisor.processes()}

    def settle(self) -> None:
        """Wait until nobody is at work, nor at what is done when the result has been told."""
        self.wait_for(lambda: lock.holder(self.paths.lock) is None, 30)

    def is_supervised(self) -> bool:
        try:
            return bool(self.supervisor.call("getPID"))
        except Failure:
            return False

    def lose_power(self) -> None:
        """End everything at once, and empty /run, as a power cut does."""
        processes = [item.pid for item in self.supervisor.processes() if item.pid]
        os.kill(self.supervisor.call("getPID"), signal.SIGKILL)
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        shutil.rmtree(self.paths.sockets)
        self.paths.green.parent.mkdir(parents=True)
        self.paths.supervisor_socket.unlink(missing_ok=True)

    def boot(self) -> None:
        """Do what systemd does before it starts Supervisor."""
        subprocess.run([str(self.paths.program), "boot"], check=True)

    def tidy(self) -> str:
        """Do what a timer does each minute, and return what it said."""
        done = subprocess.run([str(self.paths.program), "tidy"], check=True, capture_output=True, text=True)
        assert done.stderr == ""
        return done.stdout

    def stale(self) -> dict[str, list[str]]:
        """Return whether the app runs with former settings, as Ansible asks it, by who leads it."""
        done = subprocess.run([str(self.paths.program), "stale", "demo"], check=True, capture_output=True, text=True)
        return json.loads(done.stdout)

    def wait_for(self, true: Callable[[], bool], seconds: float = 10) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, "it did not come true"
            time.sleep(0.02)


SUPERVISORD = """
[unix_http_server]
file={prefix}/run/supervisor.sock
[supervisord]
logfile={prefix}/var/log/supervisor/supervisord.log
pidfile={prefix}/run/supervisord.pid
childlogdir={prefix}/var/log/supervisor
nodaemon=true
{user}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[include]
files = {prefix}/etc/supervisor/conf.d/*.conf
"""


@pytest.fixture(scope="session")
def package_cache() -> Iterator[Path]:
    """Return one uv cache for all servers of the session."""
    folder = Path(tempfile.mkdtemp(prefix="wl-cache-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def make_server(package_cache: Path) -> Server:
    prefix = Path(tempfile.mkdtemp(prefix="wl-"))  # short: a socket's path has 107 characters at most
    server = Server(prefix)
    paths = server.paths
    folders = (
        paths.settings.parent,
        paths.releases,
        paths.shared,
        paths.green.parent,
        paths.state,
        paths.log.parent,
    )
    for folder in (
        *folders,
        paths.supervisor_conf,
        paths.supervisor_logs,
        paths.uv.parent,
        paths.program.parent,
    ):
        folder.mkdir(parents=True, exist_ok=True)
    paths.cache.symlink_to(package_cache)
    paths.uv.symlink_to(shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv") or "")
    paths.python.parent.mkdir(parents=True)
    paths.python.symlink_to(getattr(sys, "_base_executable", sys.executable))
    program = f"#!{sys.executable} -I\nimport sys\nfrom pathlib import Path\nsys.path.insert(0, {str(ROOT)!r})\n"
    program += "from windlass.server.main import main\n"
    program += f"sys.exit(main(Path({str(prefix)!r})))\n"
    paths.program.write_text(program)
    paths.program.chmod(0o755)
    user = getpass.getuser()
    server.configure(
        name=APP,
        domains=["demo.example.com"],
        user=user,
        build_user=user,
        owner_user=user,
        front=None,
        health_timeout=15,
        stop_timeout=5,
        request_timeout=10,
        keep_releases=3,
        watch_seconds=0,
    )
    return server


@pytest.fixture(scope="module")
def supervisord() -> Iterator[Callable[[Server], subprocess.Popen[bytes]]]:
    """Start Supervisor for a server; all of it ends with the test."""
    started: list[tuple[Server, subprocess.Popen[bytes]]] = []

    def start(server: Server) -> subprocess.Popen[bytes]:
        conf = server.prefix / "supervisord.conf"
        user = "user=root" if os.geteuid() == 0 else ""
        conf.write_text(SUPERVISORD.format(prefix=server.prefix, user=user))
        command = [str(Path(sys.executable).with_name("supervisord")), "-c", str(conf)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        started.append((server, process))
        server.wait_for(server.is_supervised)
        return process

    yield start
    for server, process in started:
        with contextlib.suppress(Failure):
            groups = [item.pid for item in server.supervisor.processes() if item.pid]
            process.kill()
            for group in groups:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(group, signal.SIGKILL)
        process.kill()
        process.wait(timeout=10)
        shutil.rmtree(server.prefix, ignore_errors=True)


@pytest.fixture(scope="module")
def live(package_cache: Path, supervisord: Callable[[Server], subprocess.Popen[bytes]]) -> Server:
    """Return a server that a module's tests share, with one release live; a test leaves it as it was."""
    made = make_server(package_cache)
    supervisord(made)
    assert made.deploy(app_files("one")).ok
    return made


@pytest.fixture
def server(package_cache: Path, supervisord: Callable[[Server], subprocess.Popen[bytes]]) -> Server:
    made = make_server(package_cache)
    supervisord(made)
    return made


class Mailbox(socketserver.StreamRequestHandler):
    """Just enough of SMTP to take mail."""

    def handle(self) -> None:
        self.wfile.write(b"220 test\r\n")
        while line := self.rfile.readline():
            if line.upper().startswith(b"DATA"):
                self.wfile.write(b"354 go on\r\n")
                lines = []
                while (text := self.rfile.readline()) != b".\r\n":
                    lines.append(text.decode())
                self.server.mails.append("".join(lines))  # type: ignore[attr-defined]
            self.wfile.write(b"221 bye\r\n" if line.upper().startswith(b"QUIT") else b"250 ok\r\n")


@pytest.fixture
def mailbox() -> Iterator[socketserver.TCPServer]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mailbox) as server:
        server.mails = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
