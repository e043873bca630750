"""What the people and programs that run the app ask it."""

import os
import time
from datetime import timedelta

from flask import Blueprint, current_app, request
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from ..extensions import db
from ..heartbeat import ALIVE, FORGET
from ..models import Message, Process, pending, utcnow
from ..version import VERSION

bp = Blueprint("ops", __name__)
test_bp = Blueprint("tests", __name__)


def identity() -> dict[str, object]:
    """Say which code answers."""
    config = current_app.config
    return {
        "version": VERSION,
        "release": config["RELEASE"],
        "process": config["PROCESS"],
        "pid": os.getpid(),
    }


@bp.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Answer 200 if the app can read its messages, 503 if it cannot."""
    try:
        db.session.execute(select(Message.id).limit(1))
    except SQLAlchemyError as error:
        current_app.logger.warning("healthz: %s", getattr(error, "orig", error))
        return {"status": "error", "database": type(error).__name__}, 503
    return {"status": "ok", "database": "ok"}


@bp.get("/version")
def version() -> ResponseReturnValue:
    """Say which code answers."""
    return identity()


@bp.get("/stats")
def stats() -> ResponseReturnValue:
    """Count messages, and requests and jobs over all processes that are alive."""
    current_app.extensions["meter"].beat("web", now=True)
    now = utcnow()
    seen = db.session.scalars(select(Process).where(Process.last_seen > now - FORGET)).all()
    alive = [process for process in seen if process.last_seen > now - ALIVE]
    web = [process for process in alive if process.kind == "web"]
    workers = sorted((p for p in seen if p.kind == "worker"), key=lambda p: p.last_seen, reverse=True)

    def count(*conditions: object) -> int | None:
        return db.session.scalar(select(func.count(Message.id)).where(*conditions))

    return {
        "messages": {
            "total": count(),
            "last_hour": count(Message.created_at > now - timedelta(hours=1)),
            "pending": count(pending),
        },
        "requests": {
            "per_minute": sum(process.per_minute for process in web),
            "handled": sum(process.handled for process in web),
            "processes": len(web),
        },
        "workers": [
            {
                "id": process.id,
                "release": process.release,
                "alive": process in alive,
                "last_seen": process.last_seen.isoformat(),
                "seconds_ago": round((now - process.last_seen).total_seconds(), 1),
                "handled": process.handled,
            }
            for process in workers
        ],
    }


@test_bp.route("/slow", methods=["GET", "POST"])
def slow() -> ResponseReturnValue:
    """Take `seconds` (0.5, at most 5) to answer: for load tests."""
    seconds = min(5.0, max(0.0, request.args.get("seconds", 0.5, type=float)))
    time.sleep(seconds)
    return {"slept": seconds, **identity()}


@test_bp.get("/error")
def error() -> ResponseReturnValue:
    """Fail: for tests of the log and of the mail to the admin."""
    raise RuntimeError("raised by /error, as asked")
