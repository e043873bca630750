"""What each pending migration would do to the site while it serves: the verdicts, worst first."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from windlass.plan import squawk
from windlass.plan.statements import Statement, Thing, UnreadableError, parse

BREAKS, READS, WRITES = "breaks-running-code", "locks-reads", "locks-writes"
FAILS, FINAL, UNKNOWN, HARMLESS = "fails", "cannot-be-undone", "cannot-be-judged", "harmless"
ORDER = (BREAKS, FAILS, READS, WRITES, FINAL, UNKNOWN, HARMLESS)
LABELS = {
    BREAKS: "breaks the code now running",
    FAILS: "fails as it is written",
    READS: "takes a lock that stops reads and writes",
    WRITES: "takes a lock that stops writes",
    FINAL: "cannot be undone",
    UNKNOWN: "cannot be judged",
    HARMLESS: "harmless",
}

# squawk's rules about what stops others, and what to do instead. Its rules of taste are not asked for here, and those
# about locks held for a moment neither: a release waits for them with a time limit.
LOCKS = {
    "require-concurrent-index-creation": (WRITES, "the index is built while writes wait; build it CONCURRENTLY"),
    "adding-foreign-key-constraint": (
        WRITES,
        "every row is checked while writes to both tables wait; add it NOT VALID and validate it in a later migration",
    ),
    "adding-field-with-default": (
        READS,
        "the default differs per row, so the table is written anew; add the column without it, fill it in parts",
    ),
    "changing-column-type": (READS, "the table is written anew, unless a varchar only grows"),
    "adding-not-nullable-field": (
        READS,
        "every row is checked; add CHECK (... IS NOT NULL) NOT VALID, validate it later, then set NOT NULL",
    ),
    "disallowed-unique-constraint": (
        READS,
        "its index is built while all wait; build a unique index CONCURRENTLY, then add the constraint USING INDEX",
    ),
    "adding-serial-primary-key-field": (
        READS,
        "its index is built while all wait; build a unique index CONCURRENTLY, then add the key USING INDEX",
    ),
    "require-concurrent-reindex": (READS, "the index is built anew while all wait; do it CONCURRENTLY"),
    "require-concurrent-partition-detach": (READS, "the partition is detached while all wait; do it CONCURRENTLY"),
}
UNCHECKED = "constraint-missing-not-valid"
UNCHECKED_WHY = "every row is checked while all wait; add it NOT VALID and validate it in a later migration"
IN_TRANSACTION = "ban-concurrent-index-creation-in-transaction"
REQUIRED, UNDEFAULTED = "adding-required-field", "ban-drop-default"
GONE = frozenset(
    {
        "ban-drop-column",
        "ban-drop-table",
        "ban-drop-view",
        "ban-drop-type",
        "ban-drop-domain",
        "ban-drop-function",
        "ban-drop-schema",
        "ban-drop-sequence",
        "ban-set-schema",
        "renaming-column",
        "renaming-table",
        "renaming-object",
    }
)
HOLD_DATA = frozenset({"column", "table", "schema"})
OPAQUE = frozenset({"DoStmt", "CallStmt"})

# Says where the live code names a thing: FILE:LINE, nothing when nowhere, None when it could not be looked.
Look = Callable[[Thing], list[str] | None]


@dataclass(frozen=True)
class Pending:
    """A pending migration as the server tells it. `undoable` is None when nobody knows; `problem`: why no SQL."""

    name: str
    title: str = ""
    sql: str = ""
    undoable: bool | None = None
    problem: str = ""


@dataclass(frozen=True)
class Verdict:
    """One verdict, why, where the live code is concerned, and which tables are locked."""

    code: str
    why: str = ""
    places: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()


@dataclass
class Judged:
    """A migration, its statements as they will be run, and the verdicts, worst first."""

    pending: Pending
    statements: list[Statement] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)

    @property
    def codes(self) -> list[str]:
        """The verdicts without their reasons, each once, worst first; a lock on reads is one on writes too."""
        found = {verdict.code for verdict in self.verdicts}
        return [code for code in ORDER if code in found and not (code == WRITES and READS in found)]

    @property
    def shown(self) -> list[str]:
        """The SQL without what begins and ends transactions."""
        return [statement.text for statement in self.statements if not statement.is_housekeeping]


def judge(migrations: Sequence[Pending], server: str, look: Look, vendor: str = "postgresql") -> list[Judged]:
    """Judge migrations in the order in which they will run. `server` is PostgreSQL's version, nothing if not known."""
    judged = [Judged(pending) for pending in migrations]
    for item in judged:
        _read(item, vendor)
    every = [(item, statement) for item in judged for statement in item.statements if vendor == "postgresql"]
    broken = squawk.rules([statement for _, statement in every], server) if every else []
    bench = _Bench(look)
    for (item, statement), rules in zip(every, broken, strict=True):
        item.verdicts += bench.verdicts(statement, rules)
    for item in judged:
        if item.pending.undoable is False:
            item.verdicts.append(Verdict(FINAL, "it has no way back (downgrade, reverse)"))
        item.verdicts = _sorted(item.verdicts) or [Verdict(HARMLESS)]
    return judged


def _read(item: Judged, vendor: str) -> None:
    if item.pending.problem:
        item.verdicts.append(Verdict(UNKNOWN, item.pending.problem))
    if vendor != "postgresql":
        item.verdicts.append(Verdict(UNKNOWN, f"the database is {vendor}; the verdicts know PostgreSQL alone"))
        item.statements = [Statement(item.pending.sql.strip(), "")] if item.pending.sql.strip() else []
        return
    try:
        item.statements = parse(item.pending.sql)
    except UnreadableError as error:
        item.verdicts.append(Verdict(UNKNOWN, f"PostgreSQL's parser does not take its SQL: {error}"))


def _sorted(verdicts: Iterable[Verdict]) -> list[Verdict]:
    return sorted(dict.fromkeys(verdicts), key=lambda verdict: ORDER.index(verdict.code))


class _Bench:
    """Judges statements in their order, and remembers what the ones before have made."""

    def __init__(self, look: Look) -> None:
        self.look = look
        self.made: set[Thing] = set()
        self.required: set[Thing] = set()
        self.closed: set[str] = set()  # tables that the transaction so far keeps from being read

    def verdicts(self, statement: Statement, rules: dict[str, str]) -> list[Verdict]:
        """Return what is to be said of a statement, given the rules of squawk's that it breaks."""
        if statement.is_housekeeping:
            if statement.kind == "TransactionStmt":
                self.closed.clear()
            return []
        found = [Verdict(FAILS, "CONCURRENTLY is not allowed in a transaction")] if IN_TRANSACTION in rules else []
        if statement.kind in OPAQUE:
            found.append(Verdict(UNKNOWN, "it runs code in the database, which is not looked into"))
        if not self._is_new(statement):
            found += [*self._locks(statement, rules), *self._breaks(statement, rules), *self._losses(statement)]
        self.made |= statement.makes
        self.required |= statement.required
        self.closed |= {name for name in statement.closes if Thing("table", name) not in self.made}
        return found

    def _is_new(self, statement: Statement) -> bool:
        """Say whether nobody can be using what this touches: the pending migrations make it themselves."""
        tables = {Thing("table", name) for name in statement.tables} - statement.makes
        return bool(statement.tables) and tables <= self.made

    def _locks(self, statement: Statement, rules: dict[str, str]) -> list[Verdict]:
        found = [Verdict(*LOCKS[rule]) for rule in rules if rule in LOCKS]
        if UNCHECKED in rules and not found:
            found.append(Verdict(READS, UNCHECKED_WHY))
        codes = {"reads": READS, "writes": WRITES}
        found += [Verdict(codes[stops], why) for stops, why in statement.holds]
        if found and self.closed - (statement.tables if READS in {verdict.code for verdict in found} else set()):
            names = ", ".join(sorted(self.closed))
            found.append(Verdict(READS, f"an earlier statement of its transaction keeps {names} locked meanwhile"))
        return [dataclasses.replace(verdict, tables=tuple(sorted(statement.tables))) for verdict in found]

    def _breaks(self, statement: Statement, rules: dict[str, str]) -> list[Verdict]:
        found = []
        if GONE & rules.keys():
            gone = [(thing, f"drops the {thing}") for thing in statement.drops]
            gone += [(thing, f"renames the {thing} to {new}") for thing, new in statement.renames]
            found += [self._gone(thing, what) for thing, what in gone if thing not in self.made]
        if REQUIRED in rules:
            why = "the code now running does not fill the new column, which has no default: its inserts fail"
            found.append(Verdict(BREAKS, why))
        for column in statement.undefaulted if UNDEFAULTED in rules else ():
            if column in self.required:
                why = (
                    f"the code now running does not fill the {column}: its inserts fail; keep a default in the database"
                )
                found.append(Verdict(BREAKS, why))
            elif column not in self.made:
                found.append(self._gone(column, f"takes the default of the {column}"))
        return [verdict for verdict in found if verdict.code]

    def _gone(self, thing: Thing, what: str) -> Verdict:
        """Judge by the live code: what it does not name it does not miss."""
        places = self.look(thing)
        if places is None:
            return Verdict(BREAKS, f"{what}; the live code could not be searched for it")
        if not places:
            return Verdict("", what)
        return Verdict(BREAKS, f"{what}, which the live code names", tuple(places))

    def _losses(self, statement: Statement) -> list[Verdict]:
        lost = [str(thing) for thing in statement.drops if thing.kind in HOLD_DATA and thing not in self.made]
        found = [Verdict(FINAL, f"the data of the {name} is gone") for name in lost]
        found += [Verdict(FINAL, f"rows of the table {name} are deleted") for name in statement.empties]
        overwritten = [thing for thing in statement.overwrites if thing not in self.made]
        return found + [Verdict(FINAL, f"values of the {thing} are overwritten") for thing in overwritten]
