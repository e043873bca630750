"""What gixy, an analyser of nginx configurations, finds in ours: nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import project
from tests.support.rendering import APPS, RELEASES, render

CONFIGURATION = project.ROOT / "roles" / "nginx" / "templates" / "etc" / "nginx" / "nginx.conf.j2"
BAD = """events {}
http {
    server_tokens on;
    server {
        listen 80;
        location /a { alias /srv/a/; }
        location ~ /(.*) { return 302 https://$http_host/$1; }
    }
}
"""
WAIVED = {
    "if_is_evil": "the `if` around `gzip on` holds that one directive, whose documentation names `if in location`",
    "try_files_is_evil_too": "it asks for a cache of open files, which would go on serving those of the release before",
}
OWNERS_OWN: dict[str, Any] = {
    "shared": ["guestbook/static/uploads"],
    "content_security_policy": {"script-src": "'self' 'unsafe-inline'", "frame-ancestors": "'self'"},
    "headers": {"Permissions-Policy": 'geolocation=(self "https://maps.example.com")', "Referrer-Policy": ""},
    "limits": {"connections": 20, "requests": 5, "burst": 50},
}
CASES = {
    "as it comes": {},
    "HTTP/3 and TLS 1.3": {"nginx_http3": True, "nginx_tls_profile": "modern"},
    "the owner's own": {"apps": [APPS[0] | OWNERS_OWN, *APPS[1:]]},
    "no IPv6": {"nginx_ipv6": False, "nginx_hsts_seconds": 0},
}


def findings(path: Path) -> list[dict[str, Any]]:
    """Return what gixy says about a configuration."""
    command = [str(Path(sys.executable).parent / "gixy"), "--format", "json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("["), done.stdout + done.stderr
    return list(json.loads(done.stdout))


def test_gixy_finds_what_is_wrong_in_a_bad_configuration(tmp_path: Path):
    file = tmp_path / "nginx.conf"
    file.write_text(BAD)
    found = {finding["plugin"] for finding in findings(file)}
    assert found >= {"version_disclosure", "alias_traversal", "http_splitting"}


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("more", CASES.values(), ids=CASES)
def test_gixy_finds_nothing_in_ours(tmp_path: Path, more: dict[str, Any], release: str):
    text = render(CONFIGURATION, release, **more)
    file = tmp_path / "nginx.conf"
    file.write_text(text)
    found = findings(file)
    assert [finding for finding in found if finding["plugin"] not in WAIVED] == []
    # Each waiver has to be needed, and a fault among our own lines to be found.
    assert {finding["plugin"] for finding in found} == set(WAIVED)
    file.write_text(text.replace("return 301 https://$host$request_uri;", "return 301 https://$http_host$uri;"))
    assert "http_splitting" in {finding["plugin"] for finding in findings(file)}
