"""One value of an inventory's file, changed in place: every other byte stays as its owner wrote it."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

CANNOT = "the app's entry is not written here as plain YAML"


class NotPlainError(ValueError):
    """The file does not hold the entry as plain YAML; the text says what stands in the way."""


def with_scale(text: str, app: str, counts: Mapping[str, int]) -> str:
    """Return the text of a variables file with these counts in `scale` of the app's entry."""
    changed = text
    for name, count in counts.items():
        changed = _with_count(changed, app, name, count)
    _verify(text, changed, app, counts)
    return changed


def _with_count(text: str, app: str, name: str, count: int) -> str:
    entry = _entry(text, app)
    key, scale = _item(entry, "scale")
    if scale is None or key is None:
        return _added(text, entry, f"scale: {{{name}: {count}}}")
    if isinstance(scale, yaml.ScalarNode) and scale.tag.endswith(":null"):
        return _replaced(text, key.end_mark.index, scale.end_mark.index, f": {{{name}: {count}}}")
    if not isinstance(scale, yaml.MappingNode) or scale.start_mark.index < key.end_mark.index:
        raise NotPlainError("`scale` is not a mapping that is written there")
    if not scale.value:
        return _replaced(text, scale.start_mark.index, scale.end_mark.index, f"{{{name}: {count}}}")
    _, value = _item(scale, name)
    if value is None:
        return _added(text, scale, f"{name}: {count}", last=True)
    if not isinstance(value, yaml.ScalarNode) or value.start_mark.index < scale.start_mark.index:
        raise NotPlainError(f"`scale.{name}` is not a number that is written there")
    return _replaced(text, value.start_mark.index, value.end_mark.index, str(count))


def _entry(text: str, app: str) -> yaml.MappingNode:
    """Return the app's entry; its nodes know where they stand."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        raise NotPlainError("the file cannot be read as YAML") from None
    _, apps = _item(root, "apps") if isinstance(root, yaml.MappingNode) else (None, None)
    if not isinstance(apps, yaml.SequenceNode):
        raise NotPlainError(CANNOT)
    found = [entry for entry in apps.value if isinstance(entry, yaml.MappingNode) and _name(entry) == app]
    if len(found) != 1 or found[0].start_mark.index < apps.start_mark.index:
        raise NotPlainError(CANNOT)
    entry: yaml.MappingNode = found[0]
    return entry


def _name(entry: yaml.MappingNode) -> str:
    _, value = _item(entry, "name")
    return str(value.value) if isinstance(value, yaml.ScalarNode) else ""


def _item(node: yaml.MappingNode, key: str) -> tuple[yaml.Node, yaml.Node] | tuple[None, None]:
    return next(((name, value) for name, value in node.value if name.value == key), (None, None))


def _replaced(text: str, begin: int, end: int, new: str) -> str:
    return text[:begin] + new + text[end:]


def _added(text: str, node: yaml.MappingNode, item: str, *, last: bool = False) -> str:
    """Add an item: after the name of an entry, or at the end of a mapping of numbers."""
    key, value = node.value[-1] if last else next(pair for pair in node.value if pair[0].value == "name")
    end: int = value.end_mark.index
    if node.flow_style:
        return _replaced(text, end, end, f", {item}")
    line_end = text.find("\n", end)
    line_end = len(text) if line_end < 0 else line_end
    return _replaced(text, line_end, line_end, f"\n{' ' * key.start_mark.column}{item}")


def _verify(before: str, after: str, app: str, counts: Mapping[str, int]) -> None:
    """Make sure that the counts are there now and nothing else is different."""
    wanted, found = _data(before), _data(after)
    for entry in wanted["apps"]:
        if entry.get("name") == app:
            had = entry.get("scale")
            entry["scale"] = {**(had if isinstance(had, dict) else {}), **counts}
    if wanted != found:
        raise NotPlainError(CANNOT)


class _Tolerant(yaml.SafeLoader):
    """Takes the tags of others, such as !vault, as they are."""


def _tagged(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> object:
    return suffix, str(node.value)


_Tolerant.add_multi_constructor("!", _tagged)


def _data(text: str) -> dict[str, list[dict[str, object]]]:
    data: dict[str, list[dict[str, object]]] = yaml.load(text, Loader=_Tolerant)  # noqa: S506 - a safe one
    return data
