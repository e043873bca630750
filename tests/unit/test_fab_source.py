"""From a repository and a version to one archive."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from windlass import source, verbs
from windlass.errors import Status, WindlassError
from windlass.inventory import App, Environment


def git(folder: Path, *arguments: str) -> str:
    environment = {
        **os.environ,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "A",
        "GIT_AUTHOR_EMAIL": "a@example.com",
        "GIT_COMMITTER_NAME": "A",
        "GIT_COMMITTER_EMAIL": "a@example.com",
    }
    done = subprocess.run(["git", *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "site" / "app").mkdir(parents=True)
    (folder / "README").write_text("top\n")
    (folder / "site" / "app" / "main.py").write_text("one\n")
    git(folder, "init", "--quiet", "--initial-branch", "main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "one")
    git(folder, "tag", "v1")
    (folder / "site" / "app" / "main.py").write_text("two\n")
    git(folder, "commit", "--quiet", "-am", "two")
    return folder


def resolve(repository: Path | str, version: str = "HEAD", directory: str = ".") -> source.Source:
    return source.resolve(str(repository), version, directory, Path("/"), "main.yml:2", "guestbook")


def names(found: source.Source) -> list[str]:
    with (
        source.archive(found, "x") as archive,
        tarfile.open(fileobj=io.BytesIO(archive.file.read()), mode="r:gz") as tar,
    ):
        return [member.name for member in tar.getmembers() if member.isfile()]


def test_branch_tag_and_commit_are_found(repository: Path) -> None:
    one, two = git(repository, "rev-parse", "v1"), git(repository, "rev-parse", "main")
    assert resolve(repository, "v1").commit == one
    assert resolve(repository, "main").commit == two
    assert resolve(repository, one[:9]).commit == one
    assert resolve(repository, "HEAD~1").commit == one


HOSTILE = ["x;touch /tmp/p", "$(id)", "--upload-pack=x", "-v", "a b", "a..b", "@{-1}", "", "a\nb", "`id`", "x" * 300]


@pytest.mark.parametrize("version", HOSTILE)
def test_a_hostile_version_is_refused_before_git_sees_it(
    repository: Path, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "_git", lambda *_: pytest.fail("git was run"))
    with pytest.raises(WindlassError, match="is not a name of a branch, tag or commit") as caught:
        resolve(repository, version)
    assert caught.value.status == Status.USAGE
    assert len(str(caught.value).splitlines()) == 1


def test_an_unknown_version_is_one_line(repository: Path) -> None:
    with pytest.raises(WindlassError, match="no version 'v9' in"):
        resolve(repository, "v9")


def test_an_unknown_version_of_the_entry_has_its_place_and_the_branch_that_was_meant(repository: Path) -> None:
    app = App("shop", ("a",), str(repository), "mian", ".", "main.yml:2", (), version_at="main.yml:6: apps[0].version")
    environment = Environment(repository.parent, (app,), ())
    with pytest.raises(WindlassError) as caught:
        verbs.source_of(environment, app, None)
    assert str(caught.value) == f"main.yml:6: apps[0].version: no version 'mian' in {repository}; did you mean main?"
    with pytest.raises(WindlassError, match=r"^no version 'mian' in .*; did you mean main\?$"):
        verbs.source_of(environment, app, "mian")


@pytest.mark.parametrize("url", ["ext::sh -c id", "http://example.com/x.git", "-x", "git://example.com/x"])
def test_other_protocols_are_refused(url: str) -> None:
    with pytest.raises(WindlassError, match=r"^main.yml:2: repository: .* is neither a path nor"):
        resolve(url)


def test_a_path_that_is_no_repository_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(WindlassError, match=r"^main.yml:2: repository: .*/absent: no such folder"):
        resolve(tmp_path / "absent")
    with pytest.raises(WindlassError, match=r"not a git repository"):
        resolve(tmp_path)


def test_a_folder_of_a_larger_work_tree_gives_its_part(repository: Path) -> None:
    assert names(resolve(repository / "site")) == ["app/main.py"]
    assert names(resolve(repository)) == ["README", "site/app/main.py"]


def test_a_directory_that_the_commit_lacks_is_told(repository: Path) -> None:
    assert resolve(repository, directory="site/app")
    assert resolve(repository / "site", directory="app")
    with pytest.raises(WindlassError, match="guestbook: directory: v1 has no folder 'src'"):
        resolve(repository, "v1", "src")


def test_the_same_commit_gives_the_same_bytes(repository: Path) -> None:
    found = resolve(repository, "v1")
    with source.archive(found, "x") as archive:
        first = (archive.size, archive.sha256)
        assert len(archive.file.read()) == archive.size
    time.sleep(1.1)
    with source.archive(found, "x") as archive:
        assert (archive.size, archive.sha256) == first


def test_uncommitted_changes_are_told_and_left_out(repository: Path) -> None:
    assert resolve(repository).notes == ()
    (repository / "site" / "new.py").write_text("new\n")
    found = resolve(repository)
    assert found.notes == (f"1 uncommitted change in {repository} will not be deployed",)
    assert "site/new.py" not in names(found)


def test_a_url_is_fetched_again_for_each_deploy(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    url = f"file://{repository}"
    assert resolve(url, "main").commit == git(repository, "rev-parse", "main")
    git(repository, "commit", "--quiet", "--allow-empty", "-m", "three")
    assert resolve(url, "main").commit == git(repository, "rev-parse", "main")
    assert len(list((tmp_path / "cache" / "windlass" / "git").iterdir())) == 1


def test_a_url_that_does_not_answer_is_one_line_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(WindlassError, match="git cannot clone") as caught:
        resolve("https://me:s3cret@127.0.0.1:1/x.git")
    assert caught.value.status == Status.FAILED
    assert "s3cret" not in str(caught.value)
    assert list((tmp_path / "cache" / "windlass" / "git").iterdir()) == []
