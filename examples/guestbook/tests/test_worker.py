import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.exc import OperationalError

from guestbook import create_app, worker
from guestbook.config import BASE, database_url
from guestbook.extensions import db
from guestbook.heartbeat import Meter
from guestbook.models import Message


def test_the_worker_counts_words_oldest_message_first(client: FlaskClient) -> None:
    for text in ("one two  three", "four"):
        client.post("/api/messages", json={"author": "Ada", "text": text})
    assert worker.process_next()
    second, first = client.get("/api/messages").json["messages"]
    assert (first["words"], first["processed_by"]) == (3, "development")
    assert first["processed_at"] >= first["created_at"]
    assert second["processed_at"] is None
    assert worker.process_next()
    assert not worker.process_next()


def test_stats_show_the_worker(client: FlaskClient) -> None:
    Meter().beat("worker")
    (seen,) = client.get("/stats").json["workers"]
    assert (seen["release"], seen["alive"]) == ("development", True)
    assert seen["seconds_ago"] < 5


def test_sigterm_lets_the_worker_finish_its_job(tmp_path: Path) -> None:
    url = os.environ.get("TEST_DATABASE_URL", f"sqlite:///{tmp_path}/guestbook.db")
    env = os.environ | {
        "DATABASE_URL": url,
        "FLASK_CONFIG": "development",
        "WORKER_JOB_SECONDS": "2",
        "WINDLASS_RELEASE": "r1",
    }
    flask = [sys.executable, "-m", "flask"]
    subprocess.run([*flask, "deploy"], env=env, cwd=BASE, check=True)
    app = create_app("testing", SQLALCHEMY_DATABASE_URI=database_url(url))
    with app.app_context():
        db.session.query(Message).delete()
        db.session.add_all(
            [Message(author="Ada", text="first job"), Message(author="Ada", text="second job")]
        )
        db.session.commit()
    process = subprocess.Popen([*flask, "worker"], env=env, cwd=BASE, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    while "worker: started" not in process.stderr.readline():
        pass
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    process.stderr.close()
    with app.app_context():
        first, second = db.session.query(Message).order_by(Message.id)
        assert (first.words, first.processed_by) == (2, "r1")
        assert second.processed_at is None
        db.session.rollback()
        db.engine.dispose()


@pytest.mark.parametrize(
    ("failure", "level"),
    [(RuntimeError(), "ERROR"), (OperationalError("", {}, Exception("away")), "WARNING")],
)
def test_no_error_ends_the_worker_and_an_absent_database_is_no_error(
    app: Flask,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failure: Exception,
    level: str,
) -> None:
    def fail() -> bool:
        raise failure

    monkeypatch.setattr(worker, "process_next", fail)
    assert not worker.step(Meter())
    assert [record.levelname for record in caplog.records if record.message.startswith("worker:")] == [level]
