import redis
from flask import Blueprint, abort, current_app, redirect, request, url_for
from rq import Queue

from . import VERSION
from .db import get_db
from .jobs import count_lines

bp = Blueprint("pastes", __name__)


@bp.get("/")
def index():
    count = get_db().execute("SELECT count(*) FROM paste").fetchone()[0]
    return f"{VERSION}, {count} pastes, {url_for('pastes.index', _external=True)}\n"


@bp.post("/")
def create():
    db = get_db()
    paste_id = db.execute("INSERT INTO paste (body) VALUES (?)", (request.form["body"],)).lastrowid
    db.commit()
    Queue("paste", connection=redis.from_url(current_app.config["REDIS_URL"])).enqueue(count_lines, paste_id)
    return redirect(url_for("pastes.show", paste_id=paste_id))


@bp.get("/<int:paste_id>")
def show(paste_id):
    paste = get_db().execute("SELECT body, lines FROM paste WHERE id = ?", (paste_id,)).fetchone()
    if paste is None:
        abort(404)
    return {"body": paste["body"], "lines": paste["lines"]}
