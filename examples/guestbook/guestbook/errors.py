"""Errors as visitors see them: a page, or JSON for a program."""

from flask import Flask, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException


def show(error: HTTPException) -> ResponseReturnValue:
    """Answer with the error's own status; what went wrong inside stays in the log."""
    status = error.code or 500
    if request.path.startswith("/api/") or request.accept_mimetypes.best == "application/json":
        return {"error": error.name, "message": error.description}, status
    return render_template("error.html", error=error), status


def init_app(app: Flask) -> None:
    """Show every error, an unhandled exception too (Flask has logged that one before)."""
    app.register_error_handler(HTTPException, show)
