"""What the release program passes on is without the app's secrets, and with everything else."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from windlass.server import masking


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    """Begin and end with no secret known."""
    for _ in (1, 2):
        masking._known.clear()
        masking._pattern.cache_clear()
        if _ == 1:
            yield


@pytest.mark.parametrize(
    ("name", "value", "line", "shown"),
    [
        ("SECRET_KEY", "s3cret", "key is s3cret.", "key is ********."),
        ("API_KEY", "two words", "'two words'", "'********'"),
        ("MAIL_PASSWORD", 'it\'s "x"\n', json.dumps({"a": 'it\'s "x"\n'}), '{"a": "********"}'),
        ("MAIL_PASSWORD", "a\\b'c$%", repr("a\\b'c$%"), '"********"'),
        ("DATABASE_URL", "postgresql://u:p%40ssword@db/x", "for p@ssword at db", "for ******** at db"),
        ("DATABASE_URL", "postgresql://u:p%40ssword@db/x", "u:p%40ssword@db/x", "u:********@db/x"),
        ("CACHE", "redis://cache/0?password=hunter22&db=1", "with hunter22, db=1", "with ********, db=1"),
        ("FEED", "https://tok_4eC39HqLyjWDarjtT1@git.example.com/x", "as tok_4eC39HqLyjWDarjtT1", "as ********"),
        ("SECRET_KEY_FALLBACKS", "oldone1 oldone2", "oldone2", "********"),
        ("TLS_KEY", "-----BEGIN\nMIIEpAIBAAKCAQEA\n", "MIIEpAIBAAKCAQEA", "********"),
        ("PAYMENTS", "pay-4eC39Hq-LyjWDarjtT1zdp7dc", "pay-4eC39Hq-LyjWDarjtT1zdp7dc", "********"),
    ],
)
def test_a_secret_is_masked_however_it_is_written(name: str, value: str, line: str, shown: str):
    masking.learn({name: value})
    assert masking.masked(line) == shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FLASK_CONFIG", "production"),
        ("DATABASE_URL", "postgresql:///guestbook?host=/var/run/postgresql"),
        ("DATABASE_URL", "postgresql://guestbook@db.example.com/guestbook?sslmode=verify-full"),
        ("ADMIN_EMAIL", "somebody.of.2026@mail.example.com"),
        ("MEDIA_ROOT", "/srv/guestbook/shared/uploads2026"),
        ("DJANGO_SETTINGS_MODULE", "shop2.settings.production"),
        ("DATABASE_HOST", "db1.internal.example.com"),
        ("SECRET_KEY", "x"),
        ("KEYBOARD", "monkey-like"),
    ],
)
def test_what_is_no_secret_is_left(name: str, value: str):
    masking.learn({name: value})
    assert masking.masked(f"it says {value} here") == f"it says {value} here"


def test_an_event_keeps_what_programs_read():
    masking.learn({"SECRET_KEY": "guestbook"})
    event = {
        "event": "output",
        "phase": "guestbook",
        "line": "guestbook",
        "data": {"release": "guestbook", "log": ["guestbook"]},
    }
    assert masking.hidden(event) == {
        "event": "output",
        "phase": "guestbook",
        "line": "********",
        "data": {"release": "guestbook", "log": ["********"]},
    }
