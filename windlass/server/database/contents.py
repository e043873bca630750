"""What is in a copy, restored by the role that owns it, whose rights a constraint or a trigger of the schema then has.

The superuser makes the extensions that nobody else may make, while the new database belongs to it alone.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from windlass import messages
from windlass.server.capture import Answer
from windlass.server.database.postgresql import Database

# `number; class object KIND SCHEMA NAME OWNER`
LINE = re.compile(r"^\d+; \d+ \d+ (.+)$")
EXTENSION = re.compile(r"(?:COMMENT - )?EXTENSION (?:- )?(.+)")
PART = re.compile(r"(?:TABLE DATA|SEQUENCE SET|ACL) (\S+) (?:[A-Z ]+ )?([^\s(]+)")
# Of the extensions in the copy those that are the superuser's to make, and what these build on.
RESERVED = """
WITH RECURSIVE offered AS (
  SELECT v.name, v.requires, v.superuser AND NOT v.trusted AS reserved
    FROM pg_available_extensions e
    JOIN pg_available_extension_versions v ON v.name = e.name AND v.version = e.default_version
),
wanted (name) AS (
  SELECT name FROM offered WHERE reserved AND name = ANY (string_to_array(:'names', E'\\n'))
   UNION
  SELECT required FROM offered JOIN wanted USING (name), unnest(requires) AS required
)
SELECT name FROM wanted;
"""
# The tables and functions of extensions.
PARTS = """
SELECT nspname, name
  FROM (SELECT 'pg_class'::regclass AS class, oid, relnamespace AS space, relname AS name FROM pg_class
         UNION ALL SELECT 'pg_proc'::regclass, oid, pronamespace, proname FROM pg_proc) AS made
  JOIN pg_namespace n ON n.oid = space
  JOIN pg_depend d ON d.classid = class AND d.objid = made.oid AND d.deptype = 'e'
 WHERE nspname <> 'pg_catalog';
"""
HAND_OVER = """
SELECT format('ALTER SCHEMA %I OWNER TO %I', nspname, :'role')
  FROM pg_namespace n
 WHERE pg_get_userbyid(nspowner) = current_user AND nspname !~ '^pg_' AND nspname <> 'information_schema'
   AND NOT EXISTS (SELECT FROM pg_depend
                    WHERE classid = 'pg_namespace'::regclass AND objid = n.oid AND deptype = 'e') \\gexec
"""


@dataclass(frozen=True)
class Entry:
    """One line of a copy's table of contents."""

    line: str

    @property
    def what(self) -> str:
        """What it is: its kind, schema, name and owner."""
        found = LINE.match(self.line)
        return found[1] if found else ""

    @property
    def owner(self) -> str:
        """Whose it is; nothing where nobody is named."""
        return self.what.rpartition(" ")[2]

    @property
    def extension(self) -> str:
        """The extension that it makes or comments on."""
        found = EXTENSION.fullmatch(self.what.rstrip())
        return found[1].strip('"') if found else ""

    @property
    def part(self) -> list[str]:
        """The schema and the name of what it fills or grants."""
        found = PART.match(self.what)
        return [found[1], found[2]] if found else []


@dataclass(frozen=True)
class Contents:
    """A copy and what is in it."""

    dump: Path
    entries: Sequence[Entry]

    @classmethod
    def of(cls, dump: Path, asked: Database) -> Contents:
        """Read a copy's table of contents."""
        with dump.open("rb") as file:
            answer = asked.program(["pg_restore", "--list"], stdin=file, limit=None)
        if answer.status:
            raise messages.restore_failed(_why(answer))
        return cls(dump, [Entry(line) for line in answer.output.splitlines() if LINE.match(line)])

    @property
    def owners(self) -> set[str]:
        """Who owns the schema; a large object belongs to who stores it, and defaults may outlast their role's share."""
        return {entry.owner for entry in self.entries if not entry.what.startswith(("BLOB", "DEFAULT ACL "))}

    def make_extensions(self, superuser: Database, role: str) -> Contents:
        """Make what only the superuser may, in a new database of its own; return what is left for `role`."""
        names = "\n".join(entry.extension for entry in self.entries if entry.extension)
        reserved = [row[0] for row in superuser.sql(RESERVED, names=names)]
        if not reserved:
            return self
        first = [entry for entry in self.entries if entry.what.startswith("SCHEMA ") or entry.extension in reserved]
        self._restore(superuser, first, "--no-owner")
        parts = superuser.sql(PARTS)
        second = [entry for entry in self.entries if entry.part in parts]
        self._restore(superuser, second, "--no-owner")
        superuser.sql(HAND_OVER, role=role)
        return Contents(self.dump, [entry for entry in self.entries if entry not in [*first, *second]])

    def restore(self, owner: Database, all_its_own: bool) -> None:
        """Restore everything as its owner; `all_its_own` takes what another role of the app had for the owner's."""
        entries = self.entries
        if all_its_own:
            role = owner.env["PGUSER"]
            entries = [entry for entry in entries if not entry.what.startswith("DEFAULT ACL ") or entry.owner == role]
        self._restore(owner, entries, *(["--no-owner"] if all_its_own else []))
        owner.sql("ANALYZE;", limit=None)

    def _restore(self, database: Database, entries: Iterable[Entry], *options: str) -> None:
        with self.dump.open("rb") as file, tempfile.NamedTemporaryFile("w", prefix="windlass-") as wanted:
            wanted.writelines(f"{entry.line}\n" for entry in entries)
            wanted.flush()
            if os.geteuid() != database.user.uid:
                os.fchown(wanted.fileno(), database.user.uid, database.user.gid)
            words = ["pg_restore", "--exit-on-error", "--no-password", f"--use-list={wanted.name}", *options]
            answer = database.program([*words, f"--dbname={database.name}"], stdin=file, limit=None)
        if answer.status:
            raise messages.restore_failed(_why(answer))


def _why(answer: Answer) -> str:
    """Return the line that says why, and none of those after it, which may show a row."""
    said = [line.strip() for line in answer.errors.splitlines() if "error:" in line.lower()]
    return said[0][:300] if said else answer.last_error
