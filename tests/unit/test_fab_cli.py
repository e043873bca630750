"""`fab` itself, as a process."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def fab(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("fab")), *arguments],
        cwd=cwd,
        env={**os.environ, "ANSIBLE_INVENTORY": str(ROOT / "absent")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_list_shows_every_verb_and_imports_no_ansible() -> None:
    done = fab("--list")
    assert done.returncode == 0
    for verb in ("check", "deploy", "logs", "maintenance", "releases", "restart", "rollback", "run", "status"):
        assert f"\n  {verb} " in done.stdout
    code = "import sys, tasks; sys.exit(bool({'ansible', 'paramiko', 'windlass'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


WRONG_USE = {
    "unknown option": ["deploy", "--verison", "v2"],
    "unknown verb": ["deplyo"],
    "no command": ["run"],
    "empty command": ["run", ""],
    "no value": ["deploy", "--version"],
    "help on an unknown verb": ["--help", "deplyo"],
    "unknown environment": ["deploy", "--env", "prodction"],
    "no inventory": ["status"],
    "letters for lines": ["logs", "--lines", "many"],
    "neither on nor off": ["maintenance", "onn"],
    "maintenance without a word": ["maintenance"],
}


@pytest.mark.parametrize("name", WRONG_USE)
def test_wrong_use_is_one_line_and_status_2(name: str) -> None:
    done = fab(*WRONG_USE[name])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1


INVENTORY = """\
app: {{hosts: {{web1: {{ansible_host: 127.0.0.1, ansible_port: {port}}}}}}}
web: {{hosts: {{web1: {{}}}}}}
all:
  vars:
    admin_email: ann@example.com
    base_admin_keys: [ssh-ed25519 AAAA you]
    apps: [{{name: blog, domains: [a.example.com], repository: .}}]
"""


def test_a_server_that_speaks_no_ssh_is_one_line_and_status_4(tmp_path: Path) -> None:
    def hang_up() -> None:
        with contextlib.suppress(OSError):
            while True:
                listener.accept()[0].close()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=hang_up, daemon=True).start()
        (tmp_path / "hosts.yml").write_text(INVENTORY.format(port=listener.getsockname()[1]))
        done = fab("status", "--env", str(tmp_path))
    assert (done.returncode, done.stdout) == (4, "")
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: web1 ([127.0.0.1]:")


def test_a_verb_works_from_a_folder_of_the_repository() -> None:
    assert "no inventory 'prodction'" in fab("status", "--env", "prodction", cwd=ROOT / "roles").stderr


def test_ctrl_c_before_a_verb_has_begun_is_one_line_and_status_130() -> None:
    code = "import os, signal, tasks; os.kill(os.getpid(), signal.SIGINT); print('went on')"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "error: interrupted; nothing was changed\n"


def test_ctrl_c_while_a_verb_reads_the_inventory_is_one_line_and_status_130(tmp_path: Path) -> None:
    pipe = tmp_path / "hosts.yml"
    os.mkfifo(pipe)
    command = [str(Path(sys.executable).with_name("fab")), "status", "--env", str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    writer = None
    while writer is None and process.poll() is None:
        with contextlib.suppress(OSError):  # as long as nobody reads
            writer = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert writer is not None
    os.close(writer)
    assert (process.returncode, said) == (130, "error: interrupted; nothing was changed\n")
