"""The inventory, read through Ansible's own code: the one place of hosts, apps and settings."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from windlass import entry as entries
from windlass import messages, output, specs
from windlass.errors import InventoryError, WindlassError
from windlass.secrets import names
from windlass.validation import groups
from windlass.validation.check import check as check_variables
from windlass.validation.variables import Variables

ROOT = specs.ROOT
WITHOUT_VAULT = "WINDLASS_WITHOUT_VAULT"
VAULT_HEADER = b"$ANSIBLE_VAULT;"
GROUP = "app"


@dataclass(frozen=True)
class Host:
    """A server that runs apps, as `fab` reaches it."""

    name: str
    address: str
    port: int
    user: str
    key_file: Path | None
    known_hosts: Path


@dataclass(frozen=True)
class App:
    """An entry of `apps`, its defaults filled in. `where` is FILE:LINE of the entry."""

    name: str
    domains: tuple[str, ...]
    repository: str
    version: str
    directory: str
    where: str
    hosts: tuple[Host, ...]
    hooks: Mapping[str, str] = field(default_factory=dict)  # those of this machine
    processes: Mapping[str, str] = field(default_factory=dict)
    wsgi: str = ""
    scale: Mapping[str, int] = field(default_factory=dict)
    env: tuple[str, ...] = ()  # names alone: values may be secrets
    version_at: str = ""  # FILE:LINE and the key of the version
    told: Mapping[str, Any] = field(default_factory=dict)  # what the server's release program is told of the entry


@dataclass(frozen=True)
class Environment:
    """An inventory: its directory, its apps in the order they are written, and the servers that run them."""

    path: Path
    apps: tuple[App, ...]
    hosts: tuple[Host, ...]

    def app(self, name: str | None) -> App:
        """Return the app of that name, or the only one."""
        known = [app.name for app in self.apps]
        if name is None:
            if len(self.apps) > 1:
                raise messages.which_app(known)
            return self.apps[0]
        for app in self.apps:
            if app.name == name:
                return app
        raise messages.unknown_app(name, known)

    def selection(self, name: str | None) -> tuple[App, ...]:
        """Return the app of that name, or all."""
        return self.apps if name is None else (self.app(name),)


def load(name: str | None = None) -> Environment:
    """Read and check the inventory that `--env` names, or that ansible.cfg does."""
    configure()
    source = find(name)
    output.use("" if name is None else str(shown(source)))
    reader = _read(source)
    problems = reader.problems()
    if problems:
        raise InventoryError(problems)
    return reader.environment()


def vault_secrets() -> list[tuple[str, Any]]:
    """Return the vault's passwords: those that are configured, or the one that is typed at a terminal."""
    configure()
    secrets: list[tuple[str, Any]] = _loader(ask=False)._vault.secrets
    if not secrets and sys.stdin.isatty():
        secrets = _loader(ask=True)._vault.secrets
    return secrets


def vault_uses(directory: Path) -> list[names.Use]:
    """Return every place of an inventory that takes something from the vault; its other mistakes are no matter here."""
    configure()
    reader = _Reader([directory], _loader_of_what_opens(directory))
    seen = {use: None for variables in reader.variables.values() for use in names.uses(variables)}
    return list(seen)


def vault_names(directory: Path) -> set[str]:
    """Return every name of the vault that has a value, in whichever file of the inventory."""
    configure()
    reader = _Reader([directory], _loader_of_what_opens(directory))
    return {name for variables in reader.variables.values() for name in variables.raw if name.startswith("vault_")}


def app_servers(directory: Path) -> int:
    """Return on how many servers the apps run."""
    group = _Reader([directory], _loader_of_what_opens(directory)).inventory.groups.get(GROUP)
    return len(group.get_hosts()) if group else 0


def databases_reached_by_password(directory: Path) -> list[Variables]:
    """Return the variables of each database server whose databases apps on other servers use."""
    configure()
    reader = _Reader([directory], _loader_of_what_opens(directory))
    apps, databases = (
        [host.name for host in group.get_hosts()] if (group := reader.inventory.groups.get(name)) else []
        for name in (GROUP, "database")
    )
    entries = [
        entry for name in apps if name not in databases for entry in reader.variables[name].raw.get("apps") or []
    ]
    wanted = any("postgresql" in (entry.get("services") or []) for entry in entries if isinstance(entry, dict))
    return [reader.variables[name] for name in databases] if wanted else []


def _loader_of_what_opens(directory: Path) -> Any:
    """Return a loader for the whole inventory: without a password as long as nothing in it is encrypted."""
    if not any(_is_sealed(path) for path in directory.glob("*_vars/**/*") if path.is_file()):
        return _sealed(_plain_loader())
    loader = _loader(ask=False)
    return loader if loader._vault.secrets or not sys.stdin.isatty() else _loader(ask=True)


def _is_sealed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(VAULT_HEADER)) == VAULT_HEADER


def _plain_loader() -> Any:
    from ansible.parsing.dataloader import DataLoader

    return DataLoader()


def check(sources: list[str], loader: Any) -> list[str]:
    """Return the mistakes of an inventory. `loader` is ansible-playbook's, with the vault's secrets."""
    paths = [Path(source) for source in sources]
    try:
        for path in paths:
            if not path.exists() and "," not in path.name:
                raise messages.no_inventory(path)
        return _Reader(paths, loader).problems()
    except WindlassError as error:
        return [str(error)]


def find(name: str | None) -> Path:
    """Return the inventory of that name (a folder of inventories/, or any path)."""
    if name is None:
        return _default()
    path = Path(name).expanduser()
    folder = ROOT / "inventories"
    if len(path.parts) == 1 and name not in (".", "..") and (folder / name).is_dir():
        return folder / name
    if path.exists():
        return path.absolute()
    known = sorted(item.name for item in folder.iterdir() if item.is_dir()) if folder.is_dir() else []
    raise messages.unknown_environment(name, known, folder)


def refuse_hidden(directory: Path, folders: Sequence[Path] = ()) -> None:
    """Refuse a file of variables that Ansible skips: it has a folder of its name beside it, or is about to get one.

    `folders` are those that are about to be made.
    """
    held = [path for kind in ("group_vars", "host_vars") for path in sorted((directory / kind).glob("*/"))]
    for folder in [*held, *folders]:
        for suffix in (".yml", ".yaml", ".json"):
            if (path := folder.with_name(folder.name + suffix)).is_file():
                raise messages.hidden_variables(shown(path))


def shown(path: Path) -> Path:
    """Return a path as its owner would type it here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _default() -> Path:
    from ansible import constants

    path = Path(constants.DEFAULT_HOST_LIST[0])
    if not path.exists():
        raise messages.no_inventory(path)
    return path


def configure() -> None:
    """Make Ansible read our ansible.cfg wherever `fab` was started, and refuse a key written twice."""
    if "ansible.constants" not in sys.modules and (ROOT / "ansible.cfg").exists():
        os.environ.setdefault("ANSIBLE_CONFIG", str(ROOT / "ansible.cfg"))
    os.environ.setdefault("ANSIBLE_DUPLICATE_YAML_DICT_KEY", "error")


def _read(source: Path) -> _Reader:
    """Read it; ask for the vault's password if one is needed, none is configured and somebody is there."""
    if os.environ.get(WITHOUT_VAULT):
        return _Reader([source], _sealed(_loader(ask=False)), sealed=True)
    try:
        return _Reader([source], _loader(ask=False))
    except _PasswordMissingError:
        if not sys.stdin.isatty():
            raise
    return _Reader([source], _loader(ask=True))


def _sealed(loader: Any) -> Any:
    """Have the loader read an encrypted file as an empty one: a pipeline releases without knowing a secret."""
    read = loader.load_from_file

    def load(file_name: str, *args: Any, **named: Any) -> Any:
        return {} if _is_sealed(Path(file_name)) else read(file_name, *args, **named)

    loader.load_from_file = load
    return loader


def _loader(ask: bool) -> Any:
    """Return a loader that holds the vault's passwords: those that are configured, or the one that is typed."""
    from ansible import constants
    from ansible.cli import CLI
    from ansible.errors import AnsibleError
    from ansible.parsing.dataloader import DataLoader
    from ansible.parsing.vault import VaultSecretsContext

    loader = DataLoader()
    identities = list(constants.DEFAULT_VAULT_IDENTITY_LIST)
    try:
        with contextlib.nullcontext() if ask else _quiet():
            secrets = CLI.setup_vault_secrets(
                loader, identities, ask_vault_pass=ask, auto_prompt=False, initialize_context=False
            )
    except AnsibleError as error:
        raise messages.vault_password_unreadable(str(error)) from error
    loader.set_vault_secrets(secrets)
    # Ansible allows one context in a process, and values that are encrypted by themselves look there.
    if context := VaultSecretsContext.current(optional=True):
        context.secrets = secrets
    else:
        VaultSecretsContext.initialize(VaultSecretsContext(secrets))
    return loader


class _PasswordMissingError(WindlassError):
    """The vault's password was not given."""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Ansible's warnings off the terminal: what matters of them is said in our own words."""
    from ansible.utils.display import Display

    display = Display()
    had = dict(vars(display))
    display.display = lambda *_args, **_kwargs: None
    try:
        yield
    finally:
        if "display" in had:
            display.display = had["display"]
        else:
            del display.display


@contextlib.contextmanager
def _ansible_errors() -> Iterator[None]:
    """Turn what Ansible says about a file into one line."""
    from ansible.errors import AnsibleError

    try:
        with _quiet():
            yield
    except AnsibleError as error:
        raise _one_line(error) from error


def _one_line(error: BaseException) -> WindlassError:
    from ansible.parsing.vault import AnsibleVaultError

    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    where = next((place for link in chain if (place := _place(getattr(link, "obj", None)))), "the inventory")
    text = " ".join(str(error).split())
    if any(isinstance(link, AnsibleVaultError) for link in chain):
        if "no vault secrets found" in text:
            missing = messages.vault_password_missing(where)
            return _PasswordMissingError(missing.message, missing.hint)
        return messages.vault_password_wrong(where)
    return messages.unreadable_inventory(where, text)


def _place(value: Any) -> str:
    """Return FILE:LINE of a value that Ansible read from a file, or nothing."""
    from ansible._internal._datatag._tags import Origin

    origin = value if isinstance(value, Origin) else Origin.get_tag(value)
    if origin is None or not origin.path:
        return ""
    path = shown(Path(origin.path))
    return f"{path}:{origin.line_num}" if origin.line_num else str(path)


class _Reader:
    """Ansible's view of the inventory."""

    def __init__(self, sources: list[Path], loader: Any, sealed: bool = False) -> None:
        from ansible.inventory.manager import InventoryManager
        from ansible.vars.manager import VariableManager

        self.loader = loader
        self.directory = sources[0] if sources[0].is_dir() else sources[0].parent
        self.sources = sources
        self.sealed = sealed
        refuse_hidden(self.directory)
        with _ansible_errors():
            self._syntax()
            self.inventory = InventoryManager(loader=loader, sources=[str(source) for source in sources])
            self.manager = VariableManager(loader=loader, inventory=self.inventory)
            if not self.inventory.get_hosts():
                raise messages.no_hosts_file(self.directory)
            self.variables = {host.name: self._variables(host) for host in self.inventory.get_hosts()}

    def _syntax(self) -> None:
        """Read each YAML file of hosts: Ansible itself only skips one that it cannot read."""
        for path in self._files():
            self.loader.load_from_file(str(path), cache="none")

    def _files(self) -> Iterator[Path]:
        """Give each YAML file of hosts."""
        for source in self.sources:
            files = sorted(source.iterdir()) if source.is_dir() else [source]
            for path in files:
                if path.suffix in (".yml", ".yaml") and path.is_file() and not os.access(path, os.X_OK):
                    yield path

    def _variables(self, host: Any) -> Variables:
        from ansible import constants
        from ansible.template import Templar

        found = self.manager.get_vars(host=host, include_hostvars=False)
        internal = constants.INTERNAL_STATIC_VARS | {"environment", "omit"}
        raw = {name: value for name, value in found.items() if name not in internal}
        templar = Templar(loader=self.loader, variables=found)
        rendered = {name: self._render(templar, name, raw[name]) for name in ("apps", "admin_email") if name in raw}
        connection = ("ansible_host", "ansible_port", "ansible_ssh_private_key_file")
        rendered |= {name: templar.template(raw[name]) for name in connection if name in raw}
        home = self.directory / "group_vars" / "all" / "main.yml"
        place = shown(home if home.exists() else self.directory)
        return Variables(raw, rendered, partial(_where, raw, str(place)), place, self.sealed)

    @staticmethod
    def _render(templar: Any, name: str, value: Any) -> Any:
        """Render a variable, except what may hold secrets of an app: `fab` needs none."""
        if name != "apps" or not isinstance(value, list):
            return _plain(templar.template(value))
        entries = []
        for entry in value:
            if isinstance(entry, dict):
                secret = {key: entry[key] for key in ("env", "notify") if key in entry}
                shown = templar.template({key: item for key, item in entry.items() if key not in secret})
                entries.append(_plain(shown) | secret)
            else:
                entries.append(_plain(entry))
        return entries

    def problems(self) -> list[str]:
        """Return the mistakes of the groups and of all hosts' variables, each once."""
        mistakes = groups.check(self._groups(), specs.groups(), self._group_place, shown(self.directory))
        seen = {str(problem): None for problem in mistakes}
        for variables in self.variables.values():
            for problem in check_variables(variables, specs.options(), specs.handed()):
                seen.setdefault(str(problem))
        return list(seen)

    def _groups(self) -> dict[str, groups.Group]:
        """Return the groups but Ansible's own two."""
        return {
            name: groups.Group(
                frozenset(host.name for host in group.get_hosts()),
                bool(group.child_groups or group.vars or any(self.directory.glob(f"group_vars/{name}*")))
                or any(parent.name != "all" for parent in group.parent_groups),
            )
            for name, group in self.inventory.groups.items()
            if name not in ("all", "ungrouped")
        }

    def _group_place(self, name: str) -> str:
        """Return FILE:LINE of a group, or the inventory where it is in no file of YAML."""
        places = (_key_place(self.loader.load_from_file(str(path)), name) for path in self._files())
        return next(filter(None, places), str(shown(self.directory)))

    def environment(self) -> Environment:
        """Return what `fab` works with."""
        group = self.inventory.groups.get(GROUP)
        hosts = [self._host(host.name) for host in group.get_hosts()] if group else []
        entries: dict[str, tuple[dict[str, Any], str, list[Host], str]] = {}
        for host in hosts:
            variables = self.variables[host.name]
            for index, entry in enumerate(variables.rendered.get("apps") or []):
                where = variables.where(("apps", index))
                version = f"{variables.where(('apps', index, 'version'))}: apps[{index}].version"
                entries.setdefault(entry["name"], (entry, where, [], version))[2].append(host)
        if not entries:
            raise messages.no_apps(self.directory)
        apps = [self._app(*found) for found in entries.values()]
        return Environment(self.directory, tuple(apps), tuple(hosts))

    def _host(self, name: str) -> Host:
        variables = self.variables[name].rendered
        key = variables.get("ansible_ssh_private_key_file")
        return Host(
            name=name,
            address=str(variables.get("ansible_host") or name),
            port=int(variables.get("ansible_port") or 22),
            user="deploy",
            key_file=Path(str(key)).expanduser() if key else None,
            known_hosts=self.directory / "known_hosts",
        )

    def _app(self, entry: dict[str, Any], where: str, hosts: list[Host], version_at: str) -> App:
        full = specs.complete(entry)
        return App(
            name=full["name"],
            domains=tuple(full["domains"]),
            repository=full["repository"],
            version=full["version"],
            directory=full["directory"],
            where=where,
            hosts=tuple(hosts),
            hooks=(full.get("hooks") or {}).get("laptop") or {},
            processes=full.get("processes") or {},
            wsgi=full.get("wsgi") or "",
            scale=full.get("scale") or {},
            env=tuple(full.get("env") or ()),
            version_at=version_at,
            told=entries.told(entry, specs.options()["apps"]["options"]),
        )


def _plain(value: Any) -> Any:
    """Return Ansible's tagged values as plain ones."""
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def _key_place(value: Any, name: str) -> str:
    """Return FILE:LINE of the first key of that name, at any depth, or nothing."""
    for key, inner in value.items() if isinstance(value, dict) else ():
        if found := _place(key) if key == name else _key_place(inner, name):
            return found
    return ""


def _where(raw: dict[str, Any], home: str, path: tuple[Any, ...]) -> str:
    """Return FILE:LINE of the deepest part of the path that is written in a file."""
    best, container = home, raw
    for part in path:
        if isinstance(container, dict):
            key = next((key for key in container if key == part), None)
            if key is None:
                break
            value = container[part]
            file = (_place(value) or _place(key)).rsplit(":", 1)[0]
            key_place = _place(key)
            best = key_place if key_place.rsplit(":", 1)[0] == file and key_place else _place(value) or best
        elif isinstance(container, list) and isinstance(part, int) and part < len(container):
            value = container[part]
            best = _place(value) or best
        else:
            break
        container = value
    return best
