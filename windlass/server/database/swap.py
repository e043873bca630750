"""A copy of the database takes the live one's place: restored beside it, checked, swapped by rename, not dropped."""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from windlass import messages
from windlass.server.checks import FREE_BYTES
from windlass.server.database import migrations
from windlass.server.database.contents import Contents
from windlass.server.database.migrations import Tool
from windlass.server.database.postgresql import Database, as_superuser
from windlass.server.errors import Failure

NAME_LIMIT = 46  # PostgreSQL's 63, less what is added
# An empty database like the live one, of who makes it.
CREATE = """
SELECT format('CREATE DATABASE %I TEMPLATE template0 ENCODING %L LC_COLLATE %L LC_CTYPE %L',
              :'name', pg_encoding_to_char(encoding), datcollate, datctype)
       || CASE datlocprovider WHEN 'i' THEN ' LOCALE_PROVIDER icu ICU_LOCALE ' || quote_literal(locale)
                              WHEN 'b' THEN ' LOCALE_PROVIDER builtin BUILTIN_LOCALE ' || quote_literal(locale)
                              ELSE '' END
  FROM (SELECT *, coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale') AS locale FROM pg_database d) d
 WHERE datname = :'live' \\gexec
"""
# Whoever restores into it owns it meanwhile.
ENTRUST = """
SELECT format('ALTER DATABASE %I OWNER TO %I', :'name', :'role') WHERE current_user <> :'role' \\gexec
"""
# The owner, the rights, the settings and the limit of the live one. A setting that is a list is kept as somebody wrote
# it, so each part of it is read and quoted.
ALIKE = """
SELECT format('ALTER DATABASE %I OWNER TO %I', :'name', pg_get_userbyid(live.datdba))
  FROM pg_database live, pg_database new
 WHERE live.datname = :'live' AND new.datname = :'name' AND live.datdba <> new.datdba \\gexec
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', :'name')
  FROM pg_database WHERE datname = :'live' AND datacl IS NOT NULL \\gexec
SELECT format('GRANT %s ON DATABASE %I TO %s%s', privilege_type, :'name',
              CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
              CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
  FROM pg_database, aclexplode(datacl) WHERE datname = :'live' \\gexec
SELECT format('ALTER %sDATABASE %I SET %I TO %s',
              CASE setrole WHEN 0 THEN '' ELSE format('ROLE %I IN ', pg_get_userbyid(setrole)) END, :'name', key,
              CASE WHEN key IN ('search_path', 'temp_tablespaces') OR key LIKE '%\\_preload\\_libraries'
                   THEN coalesce(listed, '''''') ELSE quote_literal(value) END)
  FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase, unnest(setconfig) AS one,
       LATERAL (SELECT split_part(one, '=', 1) AS key, substr(one, strpos(one, '=') + 1) AS value) AS parts,
       LATERAL (SELECT string_agg(quote_literal(coalesce(replace(part[1], '""', '"'), lower(part[2]))), ', '
                                  ORDER BY number)
                  FROM regexp_matches(value, '"((?:[^"]|"")*)"|([^,[:space:]]+)', 'g')
                       WITH ORDINALITY AS found (part, number)) AS list (listed)
 WHERE datname = :'live' \\gexec
SELECT format('ALTER DATABASE %I CONNECTION LIMIT %s', :'name', datconnlimit)
  FROM pg_database WHERE datname = :'live' AND datconnlimit >= 0 \\gexec
"""
# Both at once or none; after whoever uses them was ended and kept from coming back.
RENAME = """
ALTER DATABASE :"old" ALLOW_CONNECTIONS false;
ALTER DATABASE :"new" ALLOW_CONNECTIONS false;
SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname IN (:'old', :'new');
BEGIN;
ALTER DATABASE :"old" RENAME TO :"kept";
ALTER DATABASE :"new" RENAME TO :"old";
COMMIT;
ALTER DATABASE :"kept" ALLOW_CONNECTIONS true;
ALTER DATABASE :"old" ALLOW_CONNECTIONS true;
"""


@dataclass(frozen=True)
class Copy:
    """A copy, how its app migrates, and the digest of what was applied when it was taken."""

    dump: Path
    tool: Tool
    applied: str


@dataclass(frozen=True)
class Beside:
    """A restored database that waits beside the live one."""

    live: Database
    asked: Database
    name: str

    def swap(self) -> str:
        """Put it in the live one's place, at once or not at all; return under which name that one is kept."""
        kept = f"{self.live.name[:NAME_LIMIT]}_{datetime.now(UTC):%Y%m%dt%H%M%Sz}"
        _rename(self.asked, self.live.name, self.name, kept)
        return kept

    def swap_back(self, kept: str) -> None:
        """Put the kept one back; the restored one waits beside it again."""
        _rename(self.asked, self.live.name, kept, self.name)

    def drop(self) -> None:
        """Take the restored one away; never the live one."""
        with contextlib.suppress(Failure):
            self.asked.sql('DROP DATABASE IF EXISTS :"name" WITH (FORCE);', name=self.name)


def prepare(copy: Copy, live: Database, owner: Database, ownership: str = "") -> Beside:
    """Restore a copy beside the live database and check it; `Failure` leaves everything as it was.

    `ownership` is SQL that says whose everything is: a copy knows that as it was when it was taken.
    """
    asked = _who_may(live)
    beside = Beside(live, asked, f"{live.name[:NAME_LIMIT]}_restoring")
    beside.drop()
    try:
        _require_space(asked, live)
        asked.sql(CREATE, limit=None, live=live.name, name=beside.name)
        _fill(copy, beside, owner, bool(ownership))
        asked.other(beside.name).sql(ownership)
        asked.sql(ALIKE, live=live.name, name=beside.name)
        rows = sorted(set(migrations.rows_of(live.other(beside.name), copy.tool) or []))
        if migrations.digest(rows) != copy.applied:
            raise messages.restore_failed(f"the copy is at {', '.join(rows) or 'no migration'}")
    except Failure as failure:
        beside.drop()
        raise failure if failure.code == "restore-failed" else messages.restore_failed(failure.message) from failure
    except BaseException:
        beside.drop()
        raise
    return beside


def _who_may(live: Database) -> Database:
    """Return the maintenance database, asked by somebody who may make databases."""
    asked = as_superuser(live).other("postgres" if as_superuser(live).superuser else live.name)
    try:
        [[may]] = asked.sql("SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user;")
    except Failure as failure:
        raise messages.restore_failed(failure.message) from failure
    if may != "t":
        raise messages.restore_elsewhere(live.name)
    if not asked.superuser:
        asked = asked.other("postgres")
        with contextlib.suppress(Failure):
            asked.sql("SELECT 1;")
            return asked
        raise messages.restore_elsewhere(live.name)
    return asked


def _require_space(asked: Database, live: Database) -> None:
    """Make sure that a second database fits beside the first, where the disk is this machine's."""
    if not asked.superuser:
        return
    [[size, folder]] = asked.sql("SELECT pg_database_size(:'live'), current_setting('data_directory');", live=live.name)
    needed = int(size) + FREE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        said = f"it may need {needed // 1024**2} MB in {folder}, where {free // 1024**2} MB are free"
        raise messages.restore_failed(said)


def _fill(copy: Copy, beside: Beside, owner: Database, ours: bool) -> None:
    """Restore as the owner of the schema, or as the app where the copy is from before it had another owner."""
    live, asked = beside.live, beside.asked
    contents = Contents.of(copy.dump, owner)
    app, role = live.env["PGUSER"], owner.env["PGUSER"]
    if app in contents.owners and role not in contents.owners:
        owner, role = live, app
    if asked.superuser:
        contents = contents.make_extensions(asked.other(beside.name), role)
    asked.sql(ENTRUST, name=beside.name, role=role)
    contents.restore(owner.other(beside.name), all_its_own=ours and role == app)


def _rename(asked: Database, old: str, new: str, kept: str) -> None:
    """Give `new` the name of `old`, and that one the name `kept`."""
    try:
        asked.sql(RENAME, limit=60, old=old, new=new, kept=kept)
    except BaseException:
        for name in (old, new, kept):
            with contextlib.suppress(Failure):
                asked.sql('ALTER DATABASE :"name" ALLOW_CONNECTIONS true;', name=name)
        raise
