import re

import pytest
from flask import Flask
from flask.testing import FlaskClient


def test_a_posted_message_is_shown_escaped(client: FlaskClient) -> None:
    answer = client.post("/", data={"author": " Ada ", "text": "<b>Hello</b>\nthere"})
    assert (answer.status_code, answer.location) == (303, "/")
    page = client.get("/").text
    assert "Thank you" in page
    assert "Ada, <time" in page
    assert "&lt;b&gt;Hello&lt;/b&gt;" in page


def test_a_browser_needs_the_csrf_token(app: Flask) -> None:
    app.config["WTF_CSRF_ENABLED"] = True
    client = app.test_client()
    message = {"author": "Ada", "text": "Hello"}
    assert client.post("/", data=message).status_code == 400
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', client.get("/").text)
    assert found
    assert client.post("/", data=message | {"csrf_token": found[1]}).status_code == 303
    assert client.post("/api/messages", json=message).status_code == 201


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"author": "Ada"},
        {"author": "Ada", "text": "   "},
        {"author": "A" * 81, "text": "Hello"},
        {"author": "Ada", "text": "x" * 2001},
        {"author": "Ada", "text": "a\0b"},
        {"author": "\ud800", "text": "Hello"},
    ],
)
def test_a_bad_message_is_refused_and_not_kept(client: FlaskClient, message: dict[str, str]) -> None:
    assert client.post("/api/messages", json=message).status_code == 422
    assert client.get("/api/messages").json == {"total": 0, "messages": []}


@pytest.mark.parametrize("body", ["", "{", "[]", '"text"', '{"author": 1, "text": "Hello"}'])
def test_what_is_not_a_message_gets_400_as_json(client: FlaskClient, body: str) -> None:
    answer = client.post("/api/messages", data=body, content_type="application/json")
    assert answer.status_code == 400
    assert answer.json["error"] == "Bad Request"


def test_a_bad_form_keeps_what_was_typed(client: FlaskClient) -> None:
    answer = client.post("/", data={"author": "Ada", "text": ""})
    assert answer.status_code == 422
    assert 'value="Ada"' in answer.text


def test_the_api_creates_shows_and_lists(client: FlaskClient) -> None:
    ids = []
    for text in ("one", "two", "three"):
        answer = client.post("/api/messages", json={"author": "Ada", "text": text})
        assert answer.status_code == 201
        assert client.get(answer.location).json == answer.json
        ids.append(answer.json["id"])
    newest = client.get("/api/messages?limit=2").json
    assert newest["total"] == 3
    assert [message["text"] for message in newest["messages"]] == ["three", "two"]
    older = client.get(f"/api/messages?before={ids[1]}").json
    assert [message["text"] for message in older["messages"]] == ["one"]
    for absent in (999999, 2**31, 2**70):
        assert client.get(f"/api/messages/{absent}").status_code == 404
        assert client.get(f"/api/messages?before={absent}").json["total"] == 3


def test_older_messages_are_on_further_pages(client: FlaskClient) -> None:
    for number in range(25):
        client.post("/api/messages", json={"author": "Ada", "text": f"number {number}."})
    page = client.get("/").text
    assert "number 5." in page
    assert "number 4." not in page
    link = re.search(r'href="(/\?before=\d+)"', page)
    assert link
    assert "number 4." in client.get(link[1]).text
