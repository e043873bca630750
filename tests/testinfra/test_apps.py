"""Apps that were not written for Windlass (tests/apps), each released with the entry that its owner would write."""

from __future__ import annotations

import base64
import http.client
import re
import shutil
import time
import urllib.parse
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from http.cookies import SimpleCookie
from pathlib import Path

import pytest
from testinfra.host import Host

from tests.support.fab import Fab
from tests.support.repository import ROOT, Repository
from tests.support.visitor import Answer, Visitor

# Each app, and the file whose `version 1` its pages show.
APPS = {
    "hello": "app.py",
    "microblog": "app/templates/index.html",
    "diary": "src/entries/templates/entries/index.html",
    "tally": "tally/__init__.py",
    "notes": "src/notes/__init__.py",
    "fieldbook": "fieldbook/__init__.py",
    "paste": "paste/__init__.py",
}
NGINX_ETAG = re.compile(r'(W/)?"[0-9a-f]+-[0-9a-f]+"')


@dataclass
class Site:
    """One app: its repository, and somebody who visits it."""

    name: str
    repository: Repository
    visitor: Visitor
    fab: Fab

    def deploy(self) -> str:
        """Release what the repository holds; return what fab printed."""
        return self.fab.succeed("deploy", "--app", self.name, seconds=600).output

    def request(self, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Answer:
        """Send one request with headers and a body of one's own."""
        connection = self.visitor.connect()
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body or None, sent)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def post(self, path: str, **fields: str) -> Answer:
        """Send a form, with the token that Django's pages ask for."""
        page = self.request("/")
        headers = {"Content_Type": "application/x-www-form-urlencoded", "Referer": f"https://{self.visitor.host}/"}
        fields, headers = self._with_token(page, fields, headers)
        return self.request(path, "POST", urllib.parse.urlencode(fields).encode(), **headers)

    def upload(self, path: str, file: bytes, field: str, **fields: str) -> Answer:
        """Send a form with a file named upload.txt."""
        border = uuid.uuid4().hex
        headers = {
            "Content_Type": f"multipart/form-data; boundary={border}",
            "Referer": f"https://{self.visitor.host}/",
        }
        fields, headers = self._with_token(self.request("/"), fields, headers)
        parts = [
            f'--{border}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ]
        parts.append(
            f'--{border}\r\nContent-Disposition: form-data; name="{field}"; filename="upload.txt"\r\n'
            "Content-Type: text/plain\r\n\r\n"
        )
        body = "".join(parts).encode() + file + f"\r\n--{border}--\r\n".encode()
        return self.request(path, "POST", body, **headers)

    @staticmethod
    def _with_token(
        page: Answer, fields: dict[str, str], headers: dict[str, str]
    ) -> tuple[dict[str, str], dict[str, str]]:
        found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        if not found:
            return fields, headers
        cookie = SimpleCookie(page.headers["Set-Cookie"])["csrftoken"].value
        return fields | {"csrfmiddlewaretoken": found[1]}, headers | {"Cookie": f"csrftoken={cookie}"}


@pytest.fixture(scope="session")
def sites(inventory: Path, address: str, fab: Fab) -> dict[str, Site]:
    """Make a repository of each app, release it, and return how to visit it."""
    found = {}
    for name in APPS:
        path = inventory / "repositories" / name
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(ROOT / "tests" / "apps" / name, path)
        repository = Repository(path)
        repository.git("init", "--quiet", "--initial-branch=main")
        repository.commit("First version")
        found[name] = Site(name, repository, Visitor(f"{name}.test", address, inventory / "ca.pem"), fab)
    return found


@pytest.fixture(params=list(APPS))
def site(request: pytest.FixtureRequest, sites: dict[str, Site]) -> Site:
    """Return each app in turn."""
    return sites[request.param]


def soon(probe: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until `probe` says yes."""
    deadline = time.monotonic() + seconds
    while not probe():
        assert time.monotonic() < deadline, f"nothing within {seconds:.0f} s"
        time.sleep(0.2)


def front_page(site: Site) -> str:
    """Return the app's front page."""
    answer = site.request("/")
    assert answer.status == 200, answer
    return answer.text


def served_by_nginx(answer: Answer) -> bool:
    """Say whether nginx read the file itself: no server of an app makes ETags of this form."""
    return answer.status == 200 and bool(NGINX_ETAG.fullmatch(answer.headers.get("ETag", "")))


def test_the_app_can_be_deployed_as_it_is(site: Site):
    site.deploy()
    assert "version 1" in front_page(site)


@pytest.mark.parametrize("name", ["microblog", "diary", "notes", "fieldbook", "paste"])
def test_the_links_that_an_app_makes_begin_with_https_and_its_domain(sites: dict[str, Site], name: str):
    assert f"https://{name}.test/" in front_page(sites[name])


def test_translations_are_compiled_for_flask(sites: dict[str, Site]):
    assert "Dí algo" in sites["microblog"].request("/", Accept_Language="es").text


def test_translations_are_compiled_for_django(sites: dict[str, Site]):
    assert "Tagebuch" in sites["diary"].request("/", Accept_Language="de").text


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("microblog", "/static/style.css"),
        ("diary", "/static/entries/diary.css"),
        ("diary", "/static/admin/css/base.css"),
        ("notes", "/static/notes.css"),
    ],
)
def test_static_files_are_served_by_nginx(sites: dict[str, Site], name: str, path: str):
    answer = sites[name].request(path)
    assert served_by_nginx(answer), answer.headers


def test_static_files_with_a_hash_in_their_name_are_served_by_whitenoise(sites: dict[str, Site]):
    path = re.search(r'href="(/static/sightings/fieldbook\.[0-9a-f]{12}\.css)"', front_page(sites["fieldbook"]))[1]
    answer = sites["fieldbook"].request(path)
    assert answer.status == 200
    assert re.search(rb"leaf\.[0-9a-f]{12}\.svg", answer.body)
    assert "max-age=315360000" in answer.headers["Cache-Control"]


def test_django_redirects_to_nothing_but_https_and_refuses_other_hosts(sites: dict[str, Site]):
    assert sites["diary"].request("/admin/").headers["Location"].startswith("/admin/login/")
    assert Visitor("www.diary.test", sites["diary"].visitor.address, sites["diary"].visitor.ca).ask("/").status == 200


def test_a_celery_worker_does_the_job_that_a_request_brings(sites: dict[str, Site]):
    visitor = sites["tally"].visitor
    text = visitor.ask("/texts", method="POST", data={"body": "count these four words"})
    assert text.status == 202
    soon(lambda: visitor.ask(f"/texts/{text.json['id']}").json["words"] == 4)


def test_an_rq_worker_does_the_job_that_a_request_brings(sites: dict[str, Site]):
    made = sites["paste"].post("/", body="one\ntwo\nthree")
    assert made.status == 302
    soon(lambda: sites["paste"].visitor.ask(made.headers["Location"]).json["lines"] == 3)


def test_as_many_workers_run_as_the_entry_says(fab: Fab, sites: dict[str, Site]):
    processes = fab.json("status", "--app", "paste")["processes"]
    assert len([process for process in processes if "worker" in process["name"]]) == 2


def test_a_process_of_another_name_runs_beside_the_web(sites: dict[str, Site]):
    assert sites["fieldbook"].post("/", species="barn owl").status == 302
    soon(lambda: "barn owl (checked)" in front_page(sites["fieldbook"]))


def test_a_websocket_passes_through(sites: dict[str, Site]):
    connection: http.client.HTTPSConnection = sites["notes"].visitor.connect()
    connection.connect()
    key = base64.b64encode(b"sixteen bytes ok").decode()
    connection.sock.sendall(
        f"GET /live HTTP/1.1\r\nHost: notes.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    assert connection.sock.recv(4096).startswith(b"HTTP/1.1 101 ")
    connection.sock.sendall(b"\x81\x82\0\0\0\0hi")
    assert connection.sock.recv(4096) == b"\x81\x02hi"
    connection.close()


def test_a_setting_of_any_characters_reaches_the_app_as_it_is(fab: Fab, sites: dict[str, Site]):
    shown = fab.succeed("run", "--app", "diary", 'printf "%s\\n" "$SECRET_KEY"').output
    assert "only for tests: $2 'quoted' \"twice\" #3" in shown
    command = "python manage.py shell -c 'from django.conf import settings; print(settings.SECRET_KEY)'"
    assert "only for tests: $2 'quoted' \"twice\" #3" in fab.succeed("run", "--app", "diary", command).output


@pytest.mark.parametrize(
    ("name", "path", "field", "fields"),
    [("microblog", "/upload", "file", {}), ("diary", "/", "photo", {"title": "With a photo"})],
)
def test_an_upload_outlives_a_release(sites: dict[str, Site], name: str, path: str, field: str, fields: dict[str, str]):
    site = sites[name]
    content = uuid.uuid4().hex.encode()
    assert site.upload(path, content, field, **fields).status == 302
    found = {"microblog": "/uploads/upload.txt"}.get(name) or re.search(r'href="(/media/[^"]+)"', front_page(site))[1]
    assert site.request(found).body == content
    site.deploy()
    answer = site.request(found)
    assert answer.body == content
    assert served_by_nginx(answer) == (name == "diary")


def test_what_an_app_keeps_in_sqlite_outlives_a_release(sites: dict[str, Site]):
    made = sites["paste"].post("/", body="still here")
    sites["paste"].deploy()
    assert sites["paste"].visitor.ask(made.headers["Location"]).json["body"] == "still here"


def test_the_release_command_runs_once_at_each_deploy(sites: dict[str, Site]):
    before = sites["tally"].visitor.ask("/health").json["releases"]
    sites["tally"].deploy()
    assert sites["tally"].visitor.ask("/health").json["releases"] == before + 1


def test_a_second_version_answers_after_its_deploy_and_the_first_after_a_rollback(site: Site):
    file = APPS[site.name]
    text = (site.repository.path / file).read_text()
    site.repository.write(file, text.replace("version 1", "version 2"))
    site.repository.commit("Second version")
    site.deploy()
    assert "version 2" in front_page(site)
    site.fab.succeed("rollback", "--app", site.name)
    assert "version 1" in front_page(site)


def test_a_version_that_cannot_start_is_refused_and_nobody_notices(site: Site):
    file = {"fieldbook": "fieldbook/settings.py", "diary": "src/diary/settings.py"}.get(site.name, APPS[site.name])
    if file.endswith(".html"):
        file = "app/__init__.py"
    text = (site.repository.path / file).read_text()
    site.repository.write(file, "import nothing_of_this_name\n" + text)
    site.repository.commit("Broken")
    before = front_page(site)
    refused = site.fab("deploy", "--app", site.name)
    site.repository.write(file, text)
    site.repository.commit("Mended")
    assert refused.status == 1, refused.everything
    assert "nothing_of_this_name" in refused.everything
    assert front_page(site).count("version") == before.count("version")


def test_nothing_of_an_app_but_nginx_listens_on_a_port(host: Host, sites: dict[str, Site]):
    with host.sudo():
        listening = host.check_output("ss --listening --tcp --numeric --processes --no-header")
    assert "nginx" in listening
    assert not re.search(r'"(gunicorn|python3?[.0-9]*|waitress-serve|uvicorn|celery)"', listening), listening
