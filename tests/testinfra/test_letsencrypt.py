"""Certificates, as visitors are shown them, and as their renewal goes."""

from __future__ import annotations

import json
import os
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from testinfra.host import Host
from visitor import apps, connect, trust

Shown = Callable[[str], bytes]
Provide = Callable[..., tuple[int, dict[str, Any]]]

only_here = pytest.mark.skipif(
    os.environ.get("MOLECULE_SCENARIO_NAME", "letsencrypt") != "letsencrypt",
    reason="changes certificates, or needs an app with its own",
)


@pytest.fixture(scope="module")
def settings(inventory: Path) -> dict[str, Any]:
    """Return what the scenario's machines have added to the inventory."""
    return dict(yaml.safe_load((inventory / "group_vars" / "all" / "machine.yml").read_text()))


@pytest.fixture(scope="module")
def by_acme(inventory: Path) -> list[dict[str, Any]]:
    """Return the apps that have their certificate from the CA."""
    return [app for app in apps(inventory) if "certificate" not in app]


@pytest.fixture(scope="module")
def shown(address: str) -> Shown:
    """Return a function that gives the certificate shown for a domain, whoever it is from."""

    def certificate(domain: str) -> bytes:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with connect(address, domain, context) as connection:
            return connection.getpeercert(binary_form=True) or b""

    return certificate


@pytest.fixture
def provide(host: Host, settings: dict[str, Any]) -> Provide:
    """Return a function that asks the server's program for one app's certificate."""

    def run(app: dict[str, Any], **changes: str) -> tuple[int, dict[str, Any]]:
        request = {
            "directory_url": settings["letsencrypt_directory_url"],
            "email": "admin@shop.test",
            "ca_file": "/etc/letsencrypt/acme-ca.pem",
            "webroot": "/var/www/acme",
            "tls_directory": "/etc/windlass/tls",
            "reload_command": "/usr/local/sbin/windlass-nginx reload",
            "apps": [app],
            **changes,
        }
        result = host.run("printf %%s %s | /usr/local/sbin/windlass-certificate", json.dumps(request))
        print(result.stdout, result.stderr)
        return result.rc, json.loads(result.stdout)

    return run


@pytest.fixture
def forgiving(host: Host) -> Iterator[None]:
    """Have the server forget the failures of before and of the test."""
    forget = "rm -f /var/lib/letsencrypt/windlass-failures.json"
    host.check_output(forget)
    yield
    host.check_output(forget)


@pytest.fixture
def misled(settings: dict[str, Any]) -> Iterator[Callable[[str], None]]:
    """Return a function after whose call the CA finds a domain where nothing answers."""
    server = f"http://{urlsplit(settings['letsencrypt_directory_url']).hostname}:8055"
    domains: list[str] = []

    def post(path: str, **body: Any) -> None:
        with urllib.request.urlopen(f"{server}/{path}", json.dumps(body).encode(), timeout=10):  # noqa: S310
            pass

    def mislead(domain: str) -> None:
        domains.append(domain)
        post("add-a", host=f"{domain}.", addresses=["127.0.0.1"])
        post("add-aaaa", host=f"{domain}.", addresses=["::1"])

    yield mislead
    for domain in domains:
        post("clear-a", host=f"{domain}.")
        post("clear-aaaa", host=f"{domain}.")


@pytest.fixture(autouse=True)
def log(host: Host) -> Iterator[None]:
    """Print the end of certbot's log beside a test that fails."""
    yield
    print(host.run("tail -n 15 /var/log/letsencrypt/letsencrypt.log").stdout)


def on_disk(host: Host, app: str) -> bytes:
    """Return the certificate that nginx is to show for an app."""
    end = "-----END CERTIFICATE-----"
    chain = host.file(f"/etc/windlass/tls/{app}/fullchain.pem").content_string
    return ssl.PEM_cert_to_DER_cert(chain.partition(end)[0] + end)


def test_every_domain_shows_a_certificate_of_the_ca(
    address: str, inventory: Path, by_acme: list[dict[str, Any]]
) -> None:
    assert by_acme
    for app in by_acme:
        for domain in app["domains"]:
            with connect(address, domain, trust(inventory)) as connection:
                assert connection.version() == "TLSv1.3"


def test_one_certificate_on_p256_is_for_all_domains_of_an_app(
    host: Host, by_acme: list[dict[str, Any]], shown: Shown
) -> None:
    for app in by_acme:
        assert len({shown(domain) for domain in app["domains"]}) == 1
        text = host.check_output(f"openssl x509 -in /etc/windlass/tls/{app['name']}/fullchain.pem -noout -text")
        assert "P-256" in text
        assert all(f"DNS:{domain}" in text for domain in app["domains"])


def test_the_private_keys_are_roots_alone(host: Host, inventory: Path) -> None:
    for app in apps(inventory):
        key = f"/etc/windlass/tls/{app['name']}/privkey.pem"
        assert host.run(f"runuser -u www-data -- cat {key}").rc != 0


def test_certificates_are_renewed_by_a_timer(host: Host) -> None:
    timer = host.service("certbot.timer")
    assert timer.is_enabled
    assert timer.is_running


def test_a_renewed_certificate_is_the_one_shown(host: Host, by_acme: list[dict[str, Any]], shown: Shown) -> None:
    names = [(app["name"], app["domains"][0]) for app in by_acme]
    before = [shown(domain) for _, domain in names]
    # In the environment of the timer's own service.
    environment = host.check_output("systemctl show --property=Environment --value certbot.service")
    host.check_output(f"env {environment} certbot renew --force-renewal --no-random-sleep-on-renew")
    for (name, domain), old in zip(names, before, strict=True):
        assert shown(domain) == on_disk(host, name)
        assert shown(domain) != old


def test_what_is_there_is_not_asked_for_again(host: Host, by_acme: list[dict[str, Any]], provide: Provide) -> None:
    asked = "stat -c %Y.%s /var/log/letsencrypt/letsencrypt.log"
    before = host.check_output(asked)
    app = {"name": by_acme[0]["name"], "domains": by_acme[0]["domains"]}
    assert provide(app) == (0, {"changed": False, "problems": []})
    assert host.check_output(asked) == before


def test_a_domain_that_nginx_does_not_serve_is_named_and_the_ca_not_asked(provide: Provide) -> None:
    status, answer = provide({"name": "trial", "domains": ["unserved.test"]})
    assert status == 1
    assert "unserved.test: the web server here does not" in answer["problems"][0]


@only_here
@pytest.mark.usefixtures("forgiving")
def test_a_ca_that_cannot_validate_is_reported_and_not_asked_forever(
    host: Host, provide: Provide, misled: Callable[[str], None], shown: Shown
) -> None:
    before = shown("www.shop.test")
    misled("www.shop.test")
    trial = {"name": "trial", "domains": ["www.shop.test"]}
    for _ in range(3):
        status, answer = provide(trial)
        assert status == 1
        (problem,) = answer["problems"]
        assert "www.shop.test: connection" in problem
        assert "point to this server" in problem
        assert "\n" not in problem
    (problem,) = provide(trial)[1]["problems"]
    assert "failed 3 times within an hour" in problem
    assert shown("www.shop.test") == before
    assert not host.file("/etc/windlass/tls/trial").exists


@only_here
@pytest.mark.usefixtures("forgiving")
def test_a_ca_that_does_not_answer_is_reported_in_one_line(host: Host, provide: Provide, shown: Shown) -> None:
    before = shown("shop.test")
    shop = {"name": "shop", "domains": ["shop.test", "www.shop.test"]}
    status, answer = provide(shop, directory_url="https://127.0.0.1:1/dir")
    assert status == 1
    (problem,) = answer["problems"]
    assert problem.startswith("shop: no certificate.")
    assert "127.0.0.1" in problem
    assert shown("shop.test") == before


@only_here
def test_other_domains_get_another_certificate(host: Host, provide: Provide, shown: Shown) -> None:
    before = shown("shop.test")
    status, answer = provide({"name": "shop", "domains": ["shop.test"]})
    assert (status, answer["changed"]) == (0, True)
    assert shown("shop.test") == on_disk(host, "shop") != before
    both = {"name": "shop", "domains": ["shop.test", "www.shop.test"]}
    assert provide(both) == (0, {"changed": True, "problems": []})


@only_here
def test_a_ca_that_has_forgotten_the_account_is_asked_with_a_new_one(host: Host, provide: Provide) -> None:
    accounts = "/etc/letsencrypt/accounts/*/dir/*/regr.json"
    host.check_output(f"sed -i.kept 's#my-account/[0-9a-f]*#my-account/9999#' {accounts}")
    status, answer = provide({"name": "shop", "domains": ["www.shop.test"]})
    assert (status, answer["problems"]) == (0, [])
    both = {"name": "shop", "domains": ["shop.test", "www.shop.test"]}
    assert provide(both)[0] == 0


@only_here
def test_a_certificate_of_the_owners_own_is_shown(inventory: Path, shown: Shown) -> None:
    chain = (inventory / "own-chain.pem").read_text()
    assert shown("owned.test") == ssl.PEM_cert_to_DER_cert(chain)


@only_here
def test_a_chain_with_another_key_is_refused_and_the_old_certificate_stays(
    host: Host, inventory: Path, provide: Provide, shown: Shown
) -> None:
    before = shown("owned.test")
    chain = (inventory / "own-chain.pem").read_text()
    other = host.check_output("openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256")
    status, answer = provide({"name": "owned", "domains": ["owned.test"], "chain": chain, "key": other})
    assert status == 1
    assert "does not belong to its key" in answer["problems"][0]
    key = (inventory / "own-key.pem").read_text()
    answer = provide({"name": "owned", "domains": ["other.test"], "chain": chain, "key": key})[1]
    assert "is not for other.test" in answer["problems"][0]
    assert shown("owned.test") == before
