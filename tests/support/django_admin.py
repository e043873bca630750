# /// script
# requires-python = ">=3.11"
# dependencies = ["django==5.2.8"]
# ///
"""Serve Django's admin under a policy: `uv run --locked --script tests/support/django_admin.py PORT POLICY PASSWORD`.

One account, `admin`. It ends when its standard input does.
"""

import os
import secrets
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command
from django.http import HttpRequest, HttpResponse

PORT, POLICY, PASSWORD = sys.argv[1:]
FOLDER = Path(tempfile.mkdtemp())


def with_policy(answer: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Add the policy to each answer, as nginx does."""

    def answering(request: HttpRequest) -> HttpResponse:
        response = answer(request)
        response["Content-Security-Policy"] = POLICY
        response["Cross-Origin-Opener-Policy"] = "same-origin"
        return response

    return answering


def urls() -> list[Any]:
    """Return the one place that there is."""
    from django.contrib import admin
    from django.urls import path

    return [path("admin/", admin.site.urls)]


settings.configure(
    DEBUG=True,
    SECRET_KEY=secrets.token_hex(),
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF="django_admin_urls",
    INSTALLED_APPS=[
        f"django.contrib.{name}" for name in ["admin", "auth", "contenttypes", "sessions", "messages", "staticfiles"]
    ],
    MIDDLEWARE=[
        f"{__name__}.with_policy",
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": FOLDER / "db.sqlite3"}},
    STATIC_URL="/static/",
    USE_TZ=True,
)
module = type(sys)("django_admin_urls")
sys.modules["django_admin_urls"] = module
django.setup()
module.urlpatterns = urls()  # type: ignore[attr-defined]
call_command("migrate", verbosity=0)
os.environ["DJANGO_SUPERUSER_PASSWORD"] = PASSWORD
call_command("createsuperuser", interactive=False, username="admin", email="admin@example.com", verbosity=0)
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
call_command("runserver", f"127.0.0.1:{PORT}", use_reloader=False, verbosity=0)
