"""The app's own commands: `flask deploy` and `flask worker`."""

import click
from flask import Flask
from flask_migrate import upgrade
from sqlalchemy import select

from . import heartbeat, worker
from .extensions import db
from .models import Message

WELCOME = "Welcome! This is the first message. Write the second one."


def init_app(app: Flask) -> None:
    """Add the commands."""
    app.cli.command("deploy")(deploy)
    app.cli.command("worker")(worker_command)


def deploy() -> None:
    """Prepare the database for this release: run at every release, any number of times."""
    upgrade()
    if db.session.scalar(select(Message.id).limit(1)) is None:
        db.session.add(Message(author="The guestbook", text=WELCOME))
        db.session.commit()
    heartbeat.forget_dead()
    click.echo("The database is ready.")


def worker_command() -> None:
    """Count the words of new messages, until SIGTERM."""
    worker.run()
