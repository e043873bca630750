import pytest
from flask import Flask, request
from flask.testing import FlaskClient

from guestbook import create_app
from guestbook.extensions import db
from guestbook.version import VERSION


def test_version_says_which_code_answers(client: FlaskClient) -> None:
    answer = client.get("/version")
    assert answer.json["version"] == VERSION
    assert answer.json["release"]
    assert answer.json["pid"] > 0
    assert answer.headers["Cache-Control"] == "no-store"


def test_every_answer_says_which_release_made_it(client: FlaskClient) -> None:
    release = client.get("/version").json["release"]
    for path in ("/", "/api/messages", "/no-such-page"):
        assert client.get(path).headers["X-Release"] == release


def test_healthz_is_well_with_a_database(client: FlaskClient) -> None:
    assert client.get("/healthz").json == {"status": "ok", "database": "ok"}


def test_healthz_answers_503_without_the_tables(client: FlaskClient) -> None:
    db.drop_all()
    answer = client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json["status"] == "error"


def test_stats_count_messages_and_requests(client: FlaskClient) -> None:
    client.post("/api/messages", json={"author": "Ada", "text": "Hello"})
    stats = client.get("/stats").json
    assert stats["messages"] == {"total": 1, "last_hour": 1, "pending": 1}
    assert stats["requests"] == {"per_minute": 2, "handled": 2, "processes": 1}
    assert stats["workers"] == []


def test_requests_are_served_while_no_heartbeat_can_be_written(app: Flask) -> None:
    db.drop_all()
    assert app.test_client().get("/version").status_code == 200


def test_slow_is_bounded(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr("guestbook.ops.time.sleep", slept.append)
    assert client.get("/slow").json["slept"] == 0.5
    assert client.post("/slow?seconds=60").json["slept"] == 5
    assert client.get("/slow?seconds=nan").json["slept"] == 0
    assert slept == [0.5, 5, 0]


def test_routes_for_tests_are_absent_unless_asked_for() -> None:
    client = create_app("testing", TEST_ROUTES=False).test_client()
    assert client.get("/slow").status_code == 404
    assert client.get("/error").status_code == 404


@pytest.mark.parametrize(
    ("proxies", "address", "scheme"), [(0, "127.0.0.1", "http"), (1, "192.0.2.7", "https")]
)
def test_forwarded_headers_are_believed_from_the_proxy_alone(proxies: int, address: str, scheme: str) -> None:
    app = create_app("testing", TRUSTED_PROXIES=proxies)
    app.add_url_rule("/who", "who", lambda: "")
    headers = {
        "X-Forwarded-For": "203.0.113.1, 192.0.2.7",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil",
    }
    with app.test_client() as client:
        client.get("/who", headers=headers)
        assert (request.remote_addr, request.scheme, request.host) == (address, scheme, "localhost")
