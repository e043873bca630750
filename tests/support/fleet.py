"""A view of an inventory with only some of its servers: what concerns one server need not wait for the others."""

from __future__ import annotations

import json
from pathlib import Path

import yaml


def view(inventory: Path, *names: str) -> Path:
    """Write an inventory beside this one, with all of it but the other servers; return its directory."""
    folder = inventory.with_name(f"{inventory.name}-{'-'.join(names)}")
    folder.mkdir(exist_ok=True)
    (inventory / "repositories").mkdir(exist_ok=True)
    everything = yaml.safe_load((inventory / "hosts.yml").read_text())["all"]
    groups = {
        group: {"hosts": {name: {} for name in content["hosts"] if name in names}}
        for group, content in everything["children"].items()
    }
    hosts = {name: everything["hosts"][name] for name in names}
    (folder / "hosts.yml").write_text(json.dumps({"all": {**everything, "hosts": hosts, "children": groups}}, indent=2))
    link(inventory, folder, "group_vars", "known_hosts", "keys", "repositories", "ca.pem")
    return folder


def link(inventory: Path, folder: Path, *parts: str) -> None:
    """Make parts of an inventory those of the one beside it, too."""
    for part in parts:
        if not (folder / part).is_symlink():
            (folder / part).symlink_to(f"../{inventory.name}/{part}")
