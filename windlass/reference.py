"""Write docs/reference.md from the roles' specs: `python -m windlass.reference`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from windlass import specs

FILE = specs.ROOT / "docs" / "reference.md"

HEAD = """\
<!-- Made by `python -m windlass.reference` from roles/*/meta/argument_specs.yml. Change it there. -->

# Every key of an inventory

They go into `group_vars/all/main.yml` of the inventory, or for one host into `host_vars/HOST.yml`. Only `admin_email`,
`base_admin_keys` and `apps` have to be there. A key that is not on this page is refused, with the nearest one that is;
names of your own, for secrets, begin with `vault_`.
"""

_MARKUP = re.compile(r"\bC\(([^()]*(?:\([^()]*\)[^()]*)*)\)")


def text() -> str:
    """Return the page."""
    options = specs.options()
    parts = [HEAD, "## An app: an entry of `apps`\n", _text(options["apps"]["description"]) + "\n"]
    parts += [_table(options["apps"]["options"])]
    parts += ["## Who runs the servers\n", _table({"admin_email": options["admin_email"]})]
    for role in sorted(path.parent.parent.name for path in specs.ROOT.glob("roles/*/meta/argument_specs.yml")):
        parts += _role(role)
    return "\n".join(parts)


def _role(role: str) -> Iterator[str]:
    """Yield the section of a role that takes inputs from an inventory."""
    path = specs.ROOT / "roles" / role / "meta" / "argument_specs.yml"
    main = yaml.safe_load(path.read_text())["argument_specs"]["main"]
    inputs = {name: spec for name, spec in main["options"].items() if name.startswith(f"{role}_")}
    mine = {name: spec for name, spec in inputs.items() if name not in specs.handed()}
    if not mine:
        return
    yield f"## {main['short_description']}: `{role}`\n"
    yield _text(main["description"]) + "\n"
    yield _table(mine)
    handed = [f"`{name}`" for name in inputs if name not in mine]
    if handed:
        yield f"Set by the playbooks: {', '.join(handed)}.\n"


def _table(options: dict[str, dict[str, Any]]) -> str:
    rows = [f"| {' | '.join(cells)} |" for cells in _rows(options, "")]
    return "\n".join(["| key | type | default | meaning |", "| --- | --- | --- | --- |", *rows]) + "\n"


def _rows(options: dict[str, dict[str, Any]], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    for name, spec in options.items():
        key = f"{prefix}{name}"
        meaning = _text(spec["description"])
        if choices := spec.get("choices"):
            meaning += f" One of {', '.join(f'`{choice}`' for choice in choices)}."
        yield f"`{key}`", _type(spec), _default(spec), meaning.replace("|", "\\|")
        yield from _rows(spec.get("options") or {}, f"{key}{'[]' if spec['type'] == 'list' else ''}.")


def _type(spec: dict[str, Any]) -> str:
    return f"list of {spec['elements']}" if spec["type"] == "list" else str(spec["type"])


def _default(spec: dict[str, Any]) -> str:
    """Return the default as YAML writes it. One that is computed is told by the description."""
    if spec.get("required"):
        return "required"
    value = spec.get("default")
    if value is None or value == "" or (isinstance(value, str) and "{{" in value):
        return ""
    return f"`{value}`" if isinstance(value, str) else f"`{_yaml(value)}`"


def _yaml(value: Any) -> str:
    dumped: str = yaml.safe_dump(value, default_flow_style=True, width=10_000)
    return dumped.removesuffix("\n").removesuffix("\n...")


def _text(description: str | list[str]) -> str:
    """Return a description as Markdown."""
    joined = description if isinstance(description, str) else " ".join(description)
    return _MARKUP.sub(r"`\1`", joined)


def main(file: Path = FILE) -> None:
    """Write the page."""
    file.write_text(text())


if __name__ == "__main__":
    main()
