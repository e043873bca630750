"""What `fab check` finds out about an app's processes without a server."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from windlass import source, start
from windlass.inventory import App
from windlass.server.errors import Failure
from windlass.source import Source


def committed(folder: Path, files: dict[str, str], base: str = ".") -> Source:
    """Commit files and return what a version of the app in `base` resolves to."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.com"]
    for arguments in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "one"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    return source.resolve(str(folder / base), "HEAD", ".", Path("/"), "main.yml:2", "shop")


def app(directory: str = ".", **more: object) -> App:
    return App("shop", ("a",), "/r", "HEAD", directory, "main.yml:2", (), **more)  # type: ignore[arg-type]


PROCFILE = "web: gunicorn shop:app\nworker: flask worker\n"


@pytest.mark.parametrize(
    ("place", "directory", "base"),
    [
        ("Procfile", ".", "."),
        ("src/Procfile", "src", "."),
        ("Procfile", "src", "."),
        ("apps/shop/Procfile", ".", "apps/shop"),
    ],
)
def test_the_procfile_of_the_commit_counts(tmp_path: Path, place: str, directory: str, base: str) -> None:
    found = committed(tmp_path, {"src/x": "", place: PROCFILE}, base)
    (tmp_path / place).unlink()
    assert list(start.processes(app(directory), found)) == ["web", "worker"]


def test_the_entry_counts_before_the_procfile_and_wsgi_after_it(tmp_path: Path) -> None:
    found = committed(tmp_path, {"Procfile": "worker: flask worker\n"})
    assert start.processes(app(wsgi="shop:app"), found)["web"] == "gunicorn shop:app"
    assert start.processes(app(processes={"web": "uvicorn shop:app"}), found)["web"] == "uvicorn shop:app"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"x": ""}, "nothing says how to start the app"),
        ({"Procfile": "worker: flask worker\n"}, "nothing says how to start the app"),
        ({"Procfile": "web gunicorn\n"}, "line 1 of the Procfile is not"),
        ({"Procfile": "web: flask run\n"}, "names no server that can be put on a socket"),
        ({"Procfile": PROCFILE + "web-blue: x\n"}, "may not be named web-blue"),
    ],
)
def test_an_app_that_could_not_start_is_told(tmp_path: Path, files: dict[str, str], said: str) -> None:
    with pytest.raises(Failure, match=said):
        start.processes(app(), committed(tmp_path, files))


def test_a_procfile_in_a_folder_is_pointed_out(tmp_path: Path) -> None:
    with pytest.raises(Failure) as caught:
        start.processes(app(), committed(tmp_path, {"shop/Procfile": PROCFILE, "a/b/Procfile": PROCFILE}))
    assert "add `directory: shop`" in caught.value.hint
