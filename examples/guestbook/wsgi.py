"""What gunicorn and the `flask` command load."""

from guestbook import create_app

app = create_app()
