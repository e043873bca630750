"""The JSON API."""

from flask import Blueprint, abort, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy import func, select
from werkzeug.datastructures import MultiDict

from ..extensions import db
from ..forms import MessageForm
from ..models import MAX_ID, Message, newest_messages

bp = Blueprint("api", __name__, url_prefix="/api")


@bp.get("/messages")
def messages() -> ResponseReturnValue:
    """List the newest messages: `limit` (50, at most 200), and `before` an id to go on from."""
    limit = min(max(request.args.get("limit", 50, type=int), 1), 200)
    found = db.session.scalars(newest_messages(limit, request.args.get("before", type=int)))
    total = db.session.scalar(select(func.count(Message.id)))
    return {"total": total, "messages": [message.to_dict() for message in found]}


@bp.get(f"/messages/<int(max={MAX_ID}):message_id>")
def message(message_id: int) -> ResponseReturnValue:
    """Show one message."""
    return db.get_or_404(Message, message_id).to_dict()


@bp.post("/messages")
def create() -> ResponseReturnValue:
    """Take a new message."""
    data = request.get_json()
    if not isinstance(data, dict) or not all(
        isinstance(data.get(key, ""), str) for key in ("author", "text")
    ):
        abort(400, "Send an object with the strings author and text.")
    form = MessageForm(MultiDict(data), meta={"csrf": False})
    if not form.validate():
        return {"error": "Unprocessable Entity", "fields": form.errors}, 422
    new = Message(author=form.author.data, text=form.text.data)
    db.session.add(new)
    db.session.commit()
    return new.to_dict(), 201, {"Location": url_for(".message", message_id=new.id)}
