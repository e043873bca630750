from . import create_app
from .db import get_db


def count_lines(paste_id):
    with create_app().app_context():
        db = get_db()
        body = db.execute("SELECT body FROM paste WHERE id = ?", (paste_id,)).fetchone()["body"]
        db.execute("UPDATE paste SET lines = ? WHERE id = ?", (len(body.splitlines()), paste_id))
        db.commit()
