"""SQL statements, parsed by PostgreSQL's own parser: which tables and columns they make, take away and overwrite."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Node = dict[str, Any]

# Of migrations themselves; nobody needs to see what they write down there.
BOOKS = frozenset({"alembic_version", "django_migrations"})
BOOK_COLUMN = "version_num"  # Alembic's, where the app calls the table otherwise
SERIALS = frozenset({"smallserial", "serial", "bigserial", "serial2", "serial4", "serial8"})
# What ALTER TABLE does without stopping reads.
LIGHT = frozenset({"AT_ValidateConstraint", "AT_SetStatistics", "AT_SetOptions", "AT_SetRelOptions", "AT_ClusterOn"})
DROPPED = {
    "OBJECT_TABLE": "table",
    "OBJECT_VIEW": "view",
    "OBJECT_MATVIEW": "view",
    "OBJECT_TYPE": "type",
    "OBJECT_DOMAIN": "type",
    "OBJECT_FUNCTION": "function",
    "OBJECT_PROCEDURE": "function",
    "OBJECT_SCHEMA": "schema",
    "OBJECT_SEQUENCE": "sequence",
}
RENAMED = {"OBJECT_TABLE": "table", "OBJECT_VIEW": "view", "OBJECT_COLUMN": "column", "OBJECT_TYPE": "type"}


class UnreadableError(ValueError):
    """Text that PostgreSQL would not take."""


@dataclass(frozen=True)
class Thing:
    """Something of the database that has a name; `table` is a column's."""

    kind: str
    name: str
    table: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.table}.{self.name}" if self.table else f"{self.kind} {self.name}"


@dataclass
class Statement:
    """One statement.

    `undefaulted` columns lose their default, `required` ones are new and must be filled. `closes` are the tables that
    it locks against reads, if only for a moment; `holds` says what it stops for long ("reads", "writes"), and why,
    for what squawk has no rule about.
    """

    text: str
    kind: str
    tables: set[str] = field(default_factory=set)
    makes: set[Thing] = field(default_factory=set)
    drops: list[Thing] = field(default_factory=list)
    renames: list[tuple[Thing, str]] = field(default_factory=list)
    empties: list[str] = field(default_factory=list)
    overwrites: list[Thing] = field(default_factory=list)
    fills: set[str] = field(default_factory=set)
    undefaulted: list[Thing] = field(default_factory=list)
    required: set[Thing] = field(default_factory=set)
    closes: set[str] = field(default_factory=set)
    holds: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_housekeeping(self) -> bool:
        """Whether it only begins or ends a transaction, or is a migration tool's own note."""
        columns = {column.name for column in self.overwrites} or self.fills
        is_note = columns == {BOOK_COLUMN} or (bool(self.tables) and self.tables <= BOOKS)
        return self.kind == "TransactionStmt" or is_note


def parse(sql: str) -> list[Statement]:
    """Return the statements in their order; raise `UnreadableError` with the parser's reason."""
    from pglast.parser import ParseError, parse_sql_json

    try:
        found = json.loads(parse_sql_json(sql))["stmts"] if sql.strip() else []
    except ParseError as error:
        raise UnreadableError(str(error.args[0])) from error
    data = sql.encode()
    return [_statement(entry, data) for entry in found]


def _statement(entry: Node, data: bytes) -> Statement:
    start = entry.get("stmt_location", 0)
    end = start + entry["stmt_len"] if entry.get("stmt_len") else len(data)
    ((kind, node),) = entry["stmt"].items()
    statement = Statement(_without_comments(data[start:end].decode()), kind)
    if read := READERS.get(kind):
        read(statement, node)
    return statement


def _without_comments(text: str) -> str:
    lines = text.strip().splitlines()
    while lines and (not lines[0].strip() or lines[0].lstrip().startswith("--")):
        del lines[0]
    return "\n".join(lines)


def _relation(node: Node) -> str:
    return str(node.get("relname", ""))


def _create_table(statement: Statement, node: Node) -> None:
    relation = node.get("relation") or node.get("into", {}).get("rel", {})
    statement.tables.add(_relation(relation))
    statement.makes.add(Thing("table", _relation(relation)))


def _alter_table(statement: Statement, node: Node) -> None:
    table = _relation(node["relation"])
    statement.tables.add(table)
    if {item["AlterTableCmd"]["subtype"] for item in node["cmds"]} - LIGHT:
        statement.closes.add(table)
    for item in node["cmds"]:
        _alter(statement, table, item["AlterTableCmd"])


def _alter(statement: Statement, table: str, command: Node) -> None:
    what = command["subtype"]
    column = Thing("column", command.get("name", ""), table)
    if what == "AT_AddColumn":
        _add_column(statement, table, command["def"]["ColumnDef"])
    elif what == "AT_DropColumn":
        statement.drops.append(column)
    elif what == "AT_ColumnDefault" and "def" not in command:
        statement.undefaulted.append(column)
    elif what in ("AT_SetLogged", "AT_SetUnLogged", "AT_SetTableSpace"):
        statement.holds.append(("reads", "the table is written anew"))


def _add_column(statement: Statement, table: str, definition: Node) -> None:
    column = Thing("column", definition["colname"], table)
    statement.makes.add(column)
    kinds = {item["Constraint"]["contype"] for item in definition.get("constraints", ())}
    if "CONSTR_NOTNULL" in kinds or "CONSTR_PRIMARY" in kinds:
        statement.required.add(column)
    if "CONSTR_CHECK" in kinds:
        statement.holds.append(("reads", "every row is checked"))
    name = definition.get("typeName", {}).get("names", [{}])[-1].get("String", {}).get("sval", "")
    if name in SERIALS or "CONSTR_IDENTITY" in kinds:
        statement.holds.append(("reads", "the table is written anew, to number its rows"))


def _drop(statement: Statement, node: Node) -> None:
    kind = DROPPED.get(node["removeType"])
    for item in node["objects"] if kind else ():
        name = _last_name(item)
        statement.drops.append(Thing(str(kind), name))
        statement.tables.add(name)
        statement.closes.add(name)


def _last_name(item: Node) -> str:
    """Return the last part of a name, which the parser wraps in one of several ways."""
    if "List" in item:
        return _last_name(item["List"]["items"][-1])
    if "TypeName" in item:
        return _last_name(item["TypeName"]["names"][-1])
    if "ObjectWithArgs" in item:
        return _last_name(item["ObjectWithArgs"]["objname"][-1])
    return str(item.get("String", {}).get("sval", ""))


def _rename(statement: Statement, node: Node) -> None:
    kind = RENAMED.get(node["renameType"])
    table = _relation(node.get("relation", {}))
    if table:
        statement.tables.add(table)
        statement.closes.add(table)
    if kind == "column":
        statement.renames.append((Thing("column", node["subname"], table), node["newname"]))
    elif kind in ("table", "view"):
        statement.renames.append((Thing(kind, table), node["newname"]))
    elif kind:
        statement.renames.append((Thing(kind, _last_name(node["object"])), node["newname"]))


def _set_schema(statement: Statement, node: Node) -> None:
    if table := _relation(node.get("relation", {})):
        statement.tables.add(table)
        statement.renames.append((Thing("table", table), f"{node['newschema']}.{table}"))


def _index(statement: Statement, node: Node) -> None:
    statement.tables.add(_relation(node["relation"]))


def _truncate(statement: Statement, node: Node) -> None:
    names = [_relation(item["RangeVar"]) for item in node["relations"]]
    statement.tables.update(names)
    statement.empties += names
    statement.holds.append(("reads", "the table is emptied"))


def _delete(statement: Statement, node: Node) -> None:
    table = _relation(node["relation"])
    statement.tables.add(table)
    statement.empties.append(table)
    statement.holds.append(("writes", "the rows that it deletes wait for the end of the transaction"))


def _update(statement: Statement, node: Node) -> None:
    table = _relation(node["relation"])
    statement.tables.add(table)
    columns = [item["ResTarget"]["name"] for item in node["targetList"] if "name" in item["ResTarget"]]
    statement.overwrites += [Thing("column", name, table) for name in columns]
    statement.holds.append(("writes", "the rows that it changes wait for the end of the transaction"))


def _insert(statement: Statement, node: Node) -> None:
    statement.tables.add(_relation(node["relation"]))
    statement.fills.update(item["ResTarget"]["name"] for item in node.get("cols", ()))


def _lock(statement: Statement, node: Node) -> None:
    modes = {3: "", 4: "", 5: "writes", 6: "writes", 7: "writes", 8: "reads"}  # of lockdefs.h; 5 is SHARE
    statement.tables.update(_relation(item["RangeVar"]) for item in node["relations"])
    if stops := modes.get(node.get("mode", 8), ""):
        statement.holds.append((stops, "the table is locked until the end of the transaction"))


def _vacuum(statement: Statement, node: Node) -> None:
    options = {item["DefElem"]["defname"] for item in node.get("options", ())}
    if "full" in options:
        statement.holds.append(("reads", "the table is written anew"))


def _cluster(statement: Statement, node: Node) -> None:
    statement.tables.add(_relation(node.get("relation", {})))
    statement.holds.append(("reads", "the table is written anew"))


def _refresh(statement: Statement, node: Node) -> None:
    statement.tables.add(_relation(node["relation"]))
    if not node.get("concurrent"):
        statement.holds.append(("reads", "the view is filled anew; CONCURRENTLY lets it be read meanwhile"))


READERS: dict[str, Callable[[Statement, Node], None]] = {
    "CreateStmt": _create_table,
    "CreateTableAsStmt": _create_table,
    "AlterTableStmt": _alter_table,
    "AlterObjectSchemaStmt": _set_schema,
    "DropStmt": _drop,
    "RenameStmt": _rename,
    "IndexStmt": _index,
    "TruncateStmt": _truncate,
    "DeleteStmt": _delete,
    "UpdateStmt": _update,
    "InsertStmt": _insert,
    "LockStmt": _lock,
    "VacuumStmt": _vacuum,
    "ClusterStmt": _cluster,
    "RefreshMatViewStmt": _refresh,
}
