"""The worker: counts the words of new messages."""

import signal
import threading
import time

from flask import current_app
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from .extensions import db
from .heartbeat import Meter
from .models import Message, pending, utcnow


def process_next() -> bool:
    """Work on the oldest message that waits; say whether there was one.

    The row stays locked meanwhile, so that several workers never take the same one, and a
    worker that is killed gives it back.
    """
    query = select(Message).where(pending).order_by(Message.id).limit(1).with_for_update(skip_locked=True)
    message = db.session.scalar(query)
    if message:
        time.sleep(current_app.config["WORKER_JOB_SECONDS"])
        message.words = len(message.text.split())
        message.processed_at = utcnow()
        message.processed_by = current_app.config["RELEASE"]
    db.session.commit()
    return message is not None


def step(meter: Meter) -> bool:
    """Do one job, if there is one; an error does not end the worker, and a database away is waited for."""
    try:
        busy = process_next()
    except OperationalError as error:
        db.session.rollback()
        current_app.logger.warning("worker: no database: %s", error.orig)
        return False
    except Exception:
        db.session.rollback()
        current_app.logger.exception("worker: a job failed")
        return False
    if busy:
        meter.count()
    return busy


def run() -> None:
    """Work until SIGTERM or SIGINT; the job in hand is finished first."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    meter = Meter()
    current_app.logger.info("worker: started, release %s", current_app.config["RELEASE"])
    while not stop.is_set():
        busy = step(meter)
        meter.beat("worker")
        if not busy:
            stop.wait(current_app.config["WORKER_POLL_SECONDS"])
    current_app.logger.info("worker: stopped after %d jobs", meter.total)
