#!/usr/bin/env python3
# Managed by Windlass: changes made here are lost.
"""Give each app the certificate that its entry asks for, and let the web server serve it.

    windlass-certificate [--check] < request.json

The request: directory_url, email, ca_file, webroot, tls_directory, reload_command, and apps, a list of name,
domains and, for a certificate of the owner's own, chain and key (PEM). The answer on standard output: changed
(did anything, or with --check would anything), problems (one line each). Exit status 0 without problems.

The web server reads TLS_DIRECTORY/APP/, a symbolic link that is replaced by a rename. A certificate that
cannot be had leaves what is there. The CA is asked only for a certificate that is missing, expired, or for
other domains or from another CA than the entry says; renewing is the business of certbot's timer.

Standard library only.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import secrets
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

LETSENCRYPT = Path("/etc/letsencrypt")
OWN = Path("/etc/windlass/certificates")
LOG = Path("/var/log/letsencrypt/letsencrypt.log")
FAILURES = Path("/var/lib/letsencrypt/windlass-failures.json")
# Let's Encrypt allows 5 failed validations per host and hour; the timer and a person need some of them.
FAILURES_PER_HOUR = 3
HOUR = 3600
CERTBOT_SECONDS = 300


class CertificateError(Exception):
    """A certificate that cannot be had; the text is the one line that says why."""


@dataclass(frozen=True)
class App:
    """An app's name and domains, and the certificate of its owner's own, if there is one."""

    name: str
    domains: list[str]
    chain: str = ""
    key: str = ""


@dataclass(frozen=True)
class Request:
    """What is asked for, as the role hands it over."""

    directory_url: str
    email: str
    ca_file: str
    webroot: Path
    tls_directory: Path
    reload_command: list[str]
    apps: list[App]


@dataclass
class Outcome:
    """What has come of the request so far."""

    changed: bool = False
    problems: list[str] = field(default_factory=list)
    replaced: dict[Path, str | None] = field(default_factory=dict)


def parse_request(text: str) -> Request:
    """Read a request; what it lacks is a KeyError, for the role and this program are of one version."""
    data: dict[str, Any] = json.loads(text)
    return Request(
        directory_url=data["directory_url"],
        email=data["email"],
        ca_file=data["ca_file"],
        webroot=Path(data["webroot"]),
        tls_directory=Path(data["tls_directory"]),
        reload_command=shlex.split(data["reload_command"]),
        apps=[App(**app) for app in data["apps"]],
    )


def openssl(*arguments: str, text: str | None = None) -> str | None:
    """Run openssl; return what it printed, or None if it failed."""
    result = subprocess.run(["openssl", *arguments], input=text, capture_output=True, text=True, check=False)
    return result.stdout if result.returncode == 0 else None


def certificate_names(pem: str) -> set[str]:
    """Return the DNS names that the first certificate of a PEM text is for."""
    printed = openssl("x509", "-noout", "-ext", "subjectAltName", text=pem) or ""
    return set(re.findall(r"DNS:([^\s,]+)", printed))


def is_current(pem: str) -> bool:
    """Tell whether the first certificate of a PEM text has not expired."""
    return openssl("x509", "-noout", "-checkend", "0", text=pem) is not None


def covers(names: set[str], domain: str) -> bool:
    """Tell whether a certificate for these names is one for this domain, by itself or by a wildcard."""
    return domain in names or f"*.{domain.partition('.')[2]}" in names


def check_own(app: App) -> None:
    """Refuse a pair that does not belong together, has expired, or is for other domains."""
    public = openssl("pkey", "-pubout", text=app.key)
    if public is None:
        raise CertificateError(
            f"{app.name}: the key of its own certificate is not a private key in PEM without a passphrase"
        )
    if openssl("x509", "-noout", "-pubkey", text=app.chain) != public:
        raise CertificateError(f"{app.name}: the first certificate of its own chain does not belong to its key")
    if not is_current(app.chain):
        raise CertificateError(f"{app.name}: its own certificate has expired")
    names = certificate_names(app.chain)
    if missing := [domain for domain in app.domains if not covers(names, domain)]:
        raise CertificateError(f"{app.name}: its own certificate is not for {', '.join(missing)}")


def install_own(app: App) -> Path:
    """Write the pair of the owner's own and return its directory; another pair gets another directory."""
    check_own(app)
    digest = hashlib.sha256((app.chain + app.key).encode()).hexdigest()[:16]
    directory = OWN / f"{app.name}-{digest}"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, text in (("fullchain.pem", app.chain), ("privkey.pem", app.key)):
        descriptor = os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text.rstrip("\n") + "\n")
    return directory


def own_is_installed(app: App) -> bool:
    """Tell whether the pair of the owner's own is on the server already."""
    digest = hashlib.sha256((app.chain + app.key).encode()).hexdigest()[:16]
    return (OWN / f"{app.name}-{digest}" / "privkey.pem").exists()


def needs_issue(request: Request, app: App) -> bool:
    """Tell whether the app's certificate is missing, expired, or for other domains or from another CA."""
    try:
        pem = (LETSENCRYPT / "live" / app.name / "fullchain.pem").read_text()
        renewal = (LETSENCRYPT / "renewal" / f"{app.name}.conf").read_text()
    except OSError:
        return True
    server = re.search(r"^server = (\S+)$", renewal, re.MULTILINE)
    same_ca = server is not None and server[1] == request.directory_url
    return not (same_ca and certificate_names(pem) == set(app.domains) and is_current(pem))


def certbot_command(request: Request, app: App) -> list[str]:
    """Build the command that gets the app's certificate."""
    command = ["certbot", "certonly", "--non-interactive", "--agree-tos", "--email", request.email]
    command += ["--server", request.directory_url, "--webroot", "--webroot-path", str(request.webroot)]
    command += ["--cert-name", app.name, "--key-type", "ecdsa", "--elliptic-curve", "secp256r1"]
    command += ["--renew-with-new-domains", "--force-renewal"]
    for domain in app.domains:
        command += ["--domain", domain]
    return command


def check_challenge(webroot: Path, domain: str) -> None:
    """Ask the web server of this machine for a challenge, as the CA will; its patience is limited."""
    directory = webroot / ".well-known" / "acme-challenge"
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    probe = directory / f"windlass-{secrets.token_hex(8)}"
    probe.write_text(probe.name)
    probe.chmod(0o644)
    try:
        connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=10)
        connection.request("GET", f"/.well-known/acme-challenge/{probe.name}", headers={"Host": domain})
        response = connection.getresponse()
        body = response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise CertificateError(
            f"{domain}: the web server here does not answer for it at port 80 ({error!r})"
        ) from error
    finally:
        probe.unlink()
    if body != probe.name:
        raise CertificateError(
            f"{domain}: the web server here does not serve challenges for it (status {response.status})"
        )


def recent_failures(app: App) -> list[float]:
    """Return the times of the last hour's failures for the app's domains, in seconds since 1970."""
    try:
        times: list[float] = json.loads(FAILURES.read_text()).get(" ".join(app.domains), [])
    except (OSError, ValueError):
        return []
    return [moment for moment in times if moment > time.time() - HOUR]


def record_failures(app: App, times: list[float]) -> None:
    """Keep the times of the failures for the app's domains, and of others no longer than an hour."""
    try:
        known: dict[str, list[float]] = json.loads(FAILURES.read_text())
    except (OSError, ValueError):
        known = {}
    known[" ".join(app.domains)] = times
    kept = {domains: times for domains, times in known.items() if times and max(times) > time.time() - HOUR}
    FAILURES.parent.mkdir(parents=True, exist_ok=True)
    partial = FAILURES.with_suffix(".new")
    partial.write_text(json.dumps(kept))
    partial.replace(FAILURES)


def run_certbot(request: Request, app: App) -> tuple[int, str]:
    """Run certbot once; return its exit status and what it printed."""
    environment = dict(os.environ)
    if request.ca_file:
        environment["REQUESTS_CA_BUNDLE"] = request.ca_file
    try:
        result = subprocess.run(
            certbot_command(request, app),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=CERTBOT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 1, f"certbot did not end within {CERTBOT_SECONDS} s"
    return result.returncode, result.stdout


def account_is_unknown() -> bool:
    """Tell whether certbot's last run failed because the CA knows no such account: its log says so."""
    try:
        return "urn:ietf:params:acme:error:accountDoesNotExist" in LOG.read_text(errors="replace")[-5000:]
    except OSError:
        return False


def forget_account(directory_url: str) -> None:
    """Put aside the account at a CA that does not know it (any more): a test CA that was started anew."""
    url = urlsplit(directory_url)
    accounts = LETSENCRYPT / "accounts" / url.netloc / url.path.strip("/")
    if accounts.is_dir():
        accounts.rename(accounts.with_name(f"{accounts.name}.unknown-{int(time.time())}"))


def why(output: str) -> str:
    """Make one line of certbot's output: what the CA says of each domain, or else the last words."""
    found = re.findall(r"Domain:\s*(\S+)\s+Type:\s*(\S+)\s+Detail:\s*(.+)", output)
    if found:
        hint = "Does its name in DNS point to this server, and is port 80 open to the world?"
        return "; ".join(f"{domain}: {kind}: {detail.strip()}" for domain, kind, detail in found) + f" {hint}"
    noise = ("Saving debug log", "Ask for help", "See the logfile", "Requesting a certificate", "- - -")
    lines = [line.strip() for line in output.splitlines() if line.strip() and not line.startswith(noise)]
    return " ".join(lines[-2:]) or "certbot said nothing; see /var/log/letsencrypt/letsencrypt.log"


def issue(request: Request, app: App) -> None:
    """Get the app's certificate from the CA."""
    for domain in app.domains:
        check_challenge(request.webroot, domain)
    failures = recent_failures(app)
    if len(failures) >= FAILURES_PER_HOUR:
        again = time.strftime("%H:%M", time.localtime(failures[0] + HOUR))
        raise CertificateError(
            f"{app.name}: failed {len(failures)} times within an hour, and the CA stops listening at 5; "
            f"run this again after {again} (server time), or remove {FAILURES} and run it now"
        )
    status, output = run_certbot(request, app)
    if status != 0 and account_is_unknown():
        forget_account(request.directory_url)
        status, output = run_certbot(request, app)
    if status != 0:
        record_failures(app, [*failures, time.time()])
        raise CertificateError(f"{app.name}: no certificate. {why(output)} The one in place goes on serving.")
    record_failures(app, [])


def link_of(path: Path) -> str | None:
    """Return where a symbolic link points, or None if there is none."""
    return str(path.readlink()) if path.is_symlink() else None


def point(link: Path, target: str) -> None:
    """Make the link point to the target, by a rename: there is no moment without it."""
    link.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    new = link.with_name(f".{link.name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.replace(link)


def provide(request: Request, app: App, outcome: Outcome, *, check: bool) -> None:
    """Give one app its certificate and let the web server's link point to it."""
    missing = not own_is_installed(app) if app.chain else needs_issue(request, app)
    if check:
        outcome.changed |= missing
        return
    if app.chain:
        target = install_own(app)
    else:
        target = LETSENCRYPT / "live" / app.name
        if missing:
            issue(request, app)
    link = request.tls_directory / app.name
    before = link_of(link)
    if missing or before != str(target):
        point(link, str(target))
        outcome.replaced[link] = before
        outcome.changed = True


def reload(request: Request, outcome: Outcome) -> None:
    """Have the web server read what has changed; if it cannot, put the links back."""
    result = subprocess.run(request.reload_command, capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return
    for link, target in outcome.replaced.items():
        if target is not None:
            point(link, target)
    said = " ".join(result.stderr.split()) or f"exit status {result.returncode}"
    outcome.problems.append(f"the web server did not take the new certificates and goes on with the old: {said}")


def main() -> int:
    """Do what the request on standard input asks for."""
    os.umask(0o022)
    request = parse_request(sys.stdin.read())
    outcome = Outcome()
    for app in request.apps:
        try:
            provide(request, app, outcome, check="--check" in sys.argv[1:])
        except CertificateError as error:
            outcome.problems.append(str(error))
    if outcome.replaced:
        reload(request, outcome)
    json.dump({"changed": outcome.changed, "problems": outcome.problems}, sys.stdout)
    return 1 if outcome.problems else 0


if __name__ == "__main__":
    sys.exit(main())
