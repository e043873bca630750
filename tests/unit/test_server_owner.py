"""Who changes the schema, and how the address of the database reads for them."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest

from windlass.server.database import owner
from windlass.server.environment import Context
from windlass.server.paths import Paths
from windlass.server.settings import Settings

SOCKET = "postgresql:///shop?host=/var/run/postgresql"
ELSEWHERE = "postgresql://shop:secret@db.example.com/shop?sslmode=verify-full"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (SOCKET, SOCKET),
        (f"{SOCKET}&user=shop", f"{SOCKET}&user=shop-owner"),
        ("postgresql+psycopg://shop@/shop?host=/run", "postgresql+psycopg://shop-owner@/shop?host=/run"),
        ("postgres://shop:x@%2Frun/shop", "postgres://shop-owner@%2Frun/shop"),
        (f"{SOCKET}&user=reports", f"{SOCKET}&user=reports"),
        (ELSEWHERE, ELSEWHERE),
        ("redis://shop@/0", "redis://shop@/0"),
        ("postgresql://[broken", "postgresql://[broken"),
        ("plain text, with user=shop", "plain text, with user=shop"),
    ],
)
def test_a_url_of_the_socket_names_the_owner_and_any_other_stays(written: str, expected: str) -> None:
    assert owner.as_owner({"X": written}, "shop", "shop-owner") == {"X": expected}


def test_a_setting_that_names_the_role_names_the_owner_and_a_login_of_the_app_stays() -> None:
    given = {"PGUSER": "shop", "DB_USER": "shop", "POSTGRES_USERNAME": "shop", "DATABASE_USER": "shop"}
    assert set(owner.as_owner(given, "shop", "shop-owner").values()) == {"shop-owner"}
    others = {"DB_USER": "reports", "SMTP_USER": "shop", "ADMIN_USER": "shop", "NAME": "shop", "PGDATABASE": "shop"}
    assert owner.as_owner(others, "shop", "shop-owner") == others


def context(tmp_path: Path, env: str = "", owner_env: str = "", roles: str = "two", *services: str) -> Context:
    me = getpass.getuser()
    paths = Paths(tmp_path, "shop")
    paths.env.parent.mkdir(parents=True)
    paths.env.write_text(env)
    if owner_env:
        paths.owner_env.write_text(owner_env)
    settings = Settings(
        "shop", ["a.test"], user=me, build_user=me, owner_user=me, database_roles=roles, services=list(services)
    )
    return Context(paths, settings)


def test_a_database_of_ours_has_an_owner_and_one_that_the_entry_names_does_not(tmp_path: Path) -> None:
    here = context(tmp_path / "here", f"DATABASE_URL='{SOCKET}'\n", "", "two", "postgresql")
    assert owner.owns(here)
    assert not owner.owns(context(tmp_path / "one", f"DATABASE_URL='{SOCKET}'\n", "", "one", "postgresql"))
    assert not owner.owns(context(tmp_path / "none", f"DATABASE_URL='{SOCKET}'\n"))
    assert not owner.owns(context(tmp_path / "theirs", f"DATABASE_URL='{ELSEWHERE}'\n", "", "two", "postgresql"))
    assert not owner.owns(context(tmp_path / "no URL", "DATABASE_URL='postgresql://[x'\n", "", "two", "postgresql"))


def test_the_secret_of_the_owner_reaches_the_release_command_alone(tmp_path: Path) -> None:
    secret = "postgresql://shop-owner:0wner-password@db.example.com/shop"
    there = context(
        tmp_path, f"DATABASE_URL='{ELSEWHERE}'\nPLAIN='x'\n", f"DATABASE_URL='{secret}'\n", "two", "postgresql"
    )
    values = owner.values(there, "one")
    assert (values["DATABASE_URL"], values["PLAIN"]) == (secret, "x")
    assert values["USER"] == values["LOGNAME"] == getpass.getuser()
    assert owner.url(there) == secret
    from windlass.server import environment, masking

    assert masking.masked(f"could not connect to {secret}") == (
        "could not connect to postgresql://shop-owner:********@db.example.com/shop"
    )

    assert environment.of_process(there, "one", "web")["DATABASE_URL"] == ELSEWHERE
