"""The pages."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from ..extensions import db
from ..forms import MessageForm
from ..models import Message, newest_messages

bp = Blueprint("web", __name__)
PAGE = 20


@bp.route("/", methods=["GET", "POST"])
def index() -> ResponseReturnValue:
    """Show the newest messages and take a new one."""
    form = MessageForm()
    if form.validate_on_submit():
        db.session.add(Message(author=form.author.data, text=form.text.data))
        db.session.commit()
        flash("Thank you for your message.")
        return redirect(url_for(".index"), 303)
    before = request.args.get("before", type=int)
    messages = db.session.scalars(newest_messages(PAGE + 1, before)).all()
    older = messages[PAGE - 1].id if len(messages) > PAGE else None
    page = render_template("index.html", form=form, messages=messages[:PAGE], older=older)
    return page, 422 if form.errors else 200
