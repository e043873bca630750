"""The inventory as fab and ansible-playbook read it: good ones are understood, each mistake is one line."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from windlass import inventory, messages, output, specs, verbs
from windlass.entry import differing
from windlass.errors import Status, WindlassError
from windlass.server import settings

ROOT = Path(__file__).resolve().parents[2]

HOSTS = """\
all:
  vars:
    ansible_user: admin
    ansible_ssh_private_key_file: "{{ inventory_dir }}/keys/id_ed25519"
app:
  hosts:
    web1:
      ansible_host: 192.0.2.1
      ansible_port: 2222
web: {hosts: {web1: {}}}
"""
MAIN = """\
apps:
  - name: guestbook
    domains: [guestbook.example.com]
    repository: ../guestbook
    services: [postgresql]
    env:
      FLASK_CONFIG: unix
      SECRET_KEY: "{{ vault_guestbook_secret_key }}"
admin_email: ann@example.com
"""
VAULT = "vault_guestbook_secret_key: s3cret\n"


@pytest.fixture(autouse=True)
def owners_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Judge by the roles as they are, except for what their own owners require of every inventory."""
    known = {name: dict(spec) for name, spec in specs.options().items()}
    for name, spec in known.items():
        spec["required"] = name in ("apps", "admin_email")
    monkeypatch.setattr(specs, "options", lambda: known)
    monkeypatch.chdir(tmp_path)


class Place:
    """An inventory directory of a test."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "group_vars" / "all").mkdir(parents=True)
        self.write("hosts.yml", HOSTS)
        self.write("group_vars/all/main.yml", MAIN)
        self.write("group_vars/all/vault.yml", VAULT)

    def write(self, name: str, text: str) -> None:
        (self.path / name).write_text(text)

    def change(self, old: str, new: str) -> None:
        """Make one change to main.yml."""
        assert old in MAIN
        self.write("group_vars/all/main.yml", MAIN.replace(old, new))

    def refusal(self) -> str:
        with pytest.raises(WindlassError) as caught:
            inventory.load(str(self.path))
        assert caught.value.status == Status.USAGE
        return str(caught.value).replace(f"{self.path.name}/", "")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "production")


def test_a_command_to_provision_names_the_inventory_in_use(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    inventory.load(str(place.path))
    output.show_error(messages.not_provisioned("web1", "gone"))
    assert "provision the server: ansible-playbook -i production site.yml" in capsys.readouterr().err
    output.Screen().note("run ansible-playbook site.yml --tags app")
    assert "run ansible-playbook -i production site.yml --tags app" in capsys.readouterr().err
    finding = {"name": "unknown-app", "ok": False, "message": "no app", "hint": messages.app_not_here("shop").hint}
    assert verbs._finding(finding).endswith("run ansible-playbook -i production site.yml first")
    with pytest.raises(WindlassError):  # the inventory of ansible.cfg needs no name
        inventory.load(None)
    output.show_error(messages.not_provisioned("web1", "gone"))
    assert "ansible-playbook site.yml" in capsys.readouterr().err


def test_a_good_inventory_gives_hosts_and_apps(place: Place) -> None:
    environment = inventory.load(str(place.path))
    app = environment.app(None)
    assert (app.name, app.domains, app.version, app.directory) == (
        "guestbook",
        ("guestbook.example.com",),
        "HEAD",
        ".",
    )
    host = app.hosts[0]
    assert (host.name, host.address, host.port, host.user) == ("web1", "192.0.2.1", 2222, "deploy")
    assert host.key_file == place.path / "keys" / "id_ed25519"
    assert host.known_hosts == place.path / "known_hosts"


def test_the_example_in_the_design_is_understood(place: Place) -> None:
    place.change("    services: [postgresql]\n", "    health_path: /healthz\n    version: main\n")
    app = inventory.load(str(place.path)).app("guestbook")
    assert (app.version, app.version_at) == ("main", "production/group_vars/all/main.yml:6: apps[0].version")


def test_what_the_server_is_told_of_an_entry_is_compared_without_its_values(place: Place) -> None:
    place.change("    env:", "    hooks: {server: {after-build: x}, laptop: {after-deploy: y}}\n    env:")
    module = importlib.util.spec_from_file_location("windlass_filters", ROOT / "plugins/filter/windlass.py")
    assert module and module.loader
    filters = importlib.util.module_from_spec(module)
    module.loader.exec_module(filters)
    app = inventory.load(str(place.path)).app(None)
    entry = yaml.safe_load((place.path / "group_vars" / "all" / "main.yml").read_text())["apps"][0]
    spec = yaml.safe_load((ROOT / "roles/app/meta/argument_specs.yml").read_text())
    written = json.loads(json.dumps(filters.app_settings(entry, spec, user="guestbook", first_host=True)))
    event = {"keys": settings.fingerprints(written), "env": ["DATABASE_URL", "FLASK_CONFIG", "SECRET_KEY"]}
    assert differing(app.told, app.env, event) == []
    assert differing(app.told, (*app.env, "NEW"), event) == ["env.NEW"]
    assert differing(app.told, ("NEW",), event | {"env": None}) == []
    event["keys"] = settings.fingerprints(written | {"health_path": "/nope", "build": "false", "hooks": {}})
    assert differing(app.told, app.env, event) == ["build", "health_path", "hooks"]
    assert "/nope" not in str(event)
    del event["keys"]["build"]  # a server of before
    assert differing(app.told, app.env, event) == ["health_path", "hooks"]


# What is written in main.yml instead, and the line that must come of it.
MISTAKES = {
    "unknown key": (
        ("domains:", "domainz:"),
        "main.yml:3: apps[0].domainz: unknown; did you mean domains?",
    ),
    "unknown variable": (
        ("admin_email:", "admin_emial:"),
        "main.yml:9: admin_emial: unknown; did you mean admin_email?",
    ),
    "unknown hook": (
        ("    repository: ../guestbook\n", "    repository: ../guestbook\n    hooks: {server: {before-relase: x}}\n"),
        "main.yml:5: apps[0].hooks.server.before-relase: unknown; did you mean before-release?",
    ),
    "a hook of the laptop only": (
        ("    repository: ../guestbook\n", "    repository: ../guestbook\n    hooks: {server: {after-deploy: x}}\n"),
        "main.yml:5: apps[0].hooks.server.after-deploy: runs on the laptop; write it under laptop:",
    ),
    "a hook without a command": (
        ("    repository: ../guestbook\n", "    repository: ../guestbook\n    hooks: {laptop: {after-deploy: ''}}\n"),
        "main.yml:5: apps[0].hooks.laptop.after-deploy: must be a shell command, in quotes",
    ),
    "a webhook that is no URL": (
        ("    repository: ../guestbook\n", "    repository: ../guestbook\n    notify: {webhook: hooks.example.com}\n"),
        "main.yml:5: apps[0].notify.webhook: is no URL; write https://HOST/PATH, by the name of a vault_ variable",
    ),
    "own name": (
        ("admin_email:", "zzz: 1\nadmin_email:"),
        "main.yml:9: zzz: unknown; a name of your own begins with vault_",
    ),
    "missing key": (
        ("    repository: ../guestbook\n", ""),
        "main.yml:2: apps[0].repository: missing; write `repository: https://HOST/PATH.git`",
    ),
    "missing variable": (
        ("admin_email: ann@example.com\n", ""),
        "main.yml: admin_email: missing; write `admin_email: you@example.com`",
    ),
    "list wanted": (
        ("[guestbook.example.com]", "guestbook.example.com"),
        "main.yml:3: apps[0].domains: must be a list, not text; write [one, two]",
    ),
    "empty list": (
        ("[guestbook.example.com]", "[]"),
        "main.yml:3: apps[0].domains: empty; write `domains: [www.example.com]`",
    ),
    "number for text": (
        ("    env:", "    python: 3.10\n    env:"),
        'main.yml:6: apps[0].python: is the number 3.1, not text; write it with quotes: "3.1"',
    ),
    "text for number": (
        ("    env:", "    keep_releases: many\n    env:"),
        "main.yml:6: apps[0].keep_releases: must be a whole number, not text; write digits without quotes",
    ),
    "small number": (
        ("    env:", "    health_timeout: 0\n    env:"),
        "main.yml:6: apps[0].health_timeout: 0 is too small; write 1 or more",
    ),
    "too many kept connections": (
        ("    env:", "    upstream_keepalive: 5000\n    env:"),
        "main.yml:6: apps[0].upstream_keepalive: 5000 will not do; write 0 to 1000, such as 16",
    ),
    "no address to let through": (
        ("    env:", "    maintenance_allow: [203.0.113.7, office]\n    env:"),
        "main.yml:6: apps[0].maintenance_allow[1]: 'office' is neither an address nor a network; "
        "write one such as 203.0.113.7, 198.51.100.0/24 or 2001:db8::/64",
    ),
    "an address for a network": (
        ("    env:", "    maintenance_allow: [2001:db8::7/64]\n    env:"),
        "main.yml:6: apps[0].maintenance_allow[0]: 2001:db8::7/64 is an address in a network; write 2001:db8::/64",
    ),
    "a network as no nginx writes it": (
        ("    env:", "    maintenance_allow: [192.0.2.0/255.255.255.0]\n    env:"),
        "main.yml:6: apps[0].maintenance_allow[0]: 192.0.2.0/255.255.255.0 is written in a way nginx cannot read; "
        "write 192.0.2.0/24",
    ),
    "a policy without quotes": (
        ("    env:", '    content_security_policy: {script-src: "self https://cdn.example.com"}\n    env:'),
        "main.yml:6: apps[0].content_security_policy.script-src: self stands there without its quotes, "
        "as if it were a host; write \"'self'\"",
    ),
    "unknown directive": (
        ("    env:", "    content_security_policy: {scripts-src: \"'self'\"}\n    env:"),
        "main.yml:6: apps[0].content_security_policy.scripts-src: unknown; did you mean script-src?",
    ),
    "two directives in one": (
        ("    env:", "    content_security_policy: {script-src: \"'self'; object-src *\"}\n    env:"),
        "main.yml:6: apps[0].content_security_policy.script-src: holds a character that sources cannot hold; "
        "write them with a blank between two",
    ),
    "unknown header": (
        ("    env:", "    headers: {Refferer-Policy: no-referrer}\n    env:"),
        "main.yml:6: apps[0].headers.Refferer-Policy: unknown; did you mean Referrer-Policy?",
    ),
    "a variable in a header": (
        ("    env:", "    headers: {Referrer-Policy: $host}\n    env:"),
        "main.yml:6: apps[0].headers.Referrer-Policy: holds a character that a header cannot hold; "
        "write printable ASCII without $ and \\",
    ),
    "two policies": (
        (
            "    env:",
            "    headers: {Content-Security-Policy: ''}\n    content_security_policy: {img-src: '*'}\n    env:",
        ),
        "main.yml:7: apps[0].content_security_policy: is not looked at beside headers.Content-Security-Policy; "
        "delete one of them",
    ),
    "a limit below nothing": (
        ("    env:", "    limits: {connections: -1}\n    env:"),
        "main.yml:6: apps[0].limits.connections: -1 will not do; write 0 to 100000",
    ),
    "unknown service": (
        ("[postgresql]", "[postgres]"),
        "main.yml:5: apps[0].services[0]: postgres is not known; did you mean postgresql?",
    ),
    "capital in name": (
        ("name: guestbook", "name: Guestbook"),
        "main.yml:2: apps[0].name: 'Guestbook' cannot be a unix user's name; write a lower-case letter, "
        "then up to 19 lower-case letters, digits, - and _",
    ),
    "reserved name": (
        ("name: guestbook", "name: postgres"),
        "main.yml:2: apps[0].name: postgres is a name that the system uses; write another, such as postgres-app",
    ),
    "URL as domain": (
        ("[guestbook.example.com]", '["https://x.example.com/"]'),
        "main.yml:3: apps[0].domains[0]: https://x.example.com/ is a URL or has a port; write the domain name alone",
    ),
    "domain with injection": (
        ("[guestbook.example.com]", '["a.example.com; return 444"]'),
        "main.yml:3: apps[0].domains[0]: 'a.example.com; return 444' is not a domain name; "
        "write one such as www.example.com",
    ),
    "domain twice": (
        ("[guestbook.example.com]", "[a.example.com, a.example.com]"),
        "main.yml:3: apps[0].domains[1]: a.example.com is taken by guestbook; keep it in one place",
    ),
    "boolean setting": (
        ("FLASK_CONFIG: unix", "DEBUG: yes"),
        'main.yml:7: apps[0].env.DEBUG: is a boolean, which would reach the app as text; write "true" with quotes',
    ),
    "NUL setting": (
        ("FLASK_CONFIG: unix", 'FLASK_CONFIG: "a\\0b"'),
        "main.yml:7: apps[0].env.FLASK_CONFIG: holds a NUL character, which no environment can; write it without",
    ),
    "setting with a carriage return": (
        ("FLASK_CONFIG: unix", 'FLASK_CONFIG: "a\\r"'),
        "main.yml:7: apps[0].env.FLASK_CONFIG: holds a carriage return, which a settings file does not keep; "
        "write it without",
    ),
    "list setting": (
        ("FLASK_CONFIG: unix", "HOSTS: [a, b]"),
        "main.yml:7: apps[0].env.HOSTS: must be text or a number, not a list; write it in quotes",
    ),
    "bad setting name": (
        ("FLASK_CONFIG: unix", "FLASK-CONFIG: unix"),
        "main.yml:7: apps[0].env.FLASK-CONFIG: 'FLASK-CONFIG' cannot be a variable's name; write letters, digits and _",
    ),
    "unknown secret": (
        ("vault_guestbook_secret_key", "vault_guestbok_secret_key"),
        "main.yml:8: apps[0].env.SECRET_KEY: vault_guestbok_secret_key is not set anywhere; "
        "did you mean vault_guestbook_secret_key?",
    ),
    "no secret of this app": (
        ("vault_guestbook_secret_key", "vault_shop_secret_key"),
        "main.yml:8: apps[0].env.SECRET_KEY: vault_shop_secret_key is not set anywhere; "
        "type fab secrets init, with the --env of this inventory",
    ),
    "static prefix": (
        ("    env:", "    static: {static: app/static}\n    env:"),
        "main.yml:6: apps[0].static.static: the URL prefix 'static' must begin with a slash; write /static/",
    ),
    "folder outside": (
        ("    env:", "    shared: [../uploads]\n    env:"),
        "main.yml:6: apps[0].shared[0]: '../uploads' leads out of the app's folder; write a path below it",
    ),
    "requirements outside": (
        ("    env:", "    directory: src\n    requirements: ../../base.txt\n    env:"),
        "main.yml:7: apps[0].requirements: '../../base.txt' leads out of the repository; "
        "write the path from the app's folder",
    ),
    "absolute folder": (
        ("    env:", "    directory: /srv/app\n    env:"),
        "main.yml:6: apps[0].directory: /srv/app is not relative; write the path from the app's folder",
    ),
    "health path": (
        ("    env:", "    health_path: healthz\n    env:"),
        "main.yml:6: apps[0].health_path: 'healthz' will not do; write /healthz, with the slash in front",
    ),
    "scale": (
        ("    env:", "    scale: {worker: two}\n    env:"),
        "main.yml:6: apps[0].scale.worker: must be a whole number from 0 to 100, not two",
    ),
    "scale of what is single": (
        ("    env:", "    single: [ticker]\n    scale: {ticker: 2}\n    env:"),
        "main.yml:7: apps[0].scale.ticker: ticker may never run twice at a time, so not 2; "
        "write 1, or leave ticker out of `single`",
    ),
    "schedule": (
        ("    env:", "    cron:\n      - {name: sweep, schedule: 0 25 * * *, command: flask sweep}\n    env:"),
        "main.yml:7: apps[0].cron[0].schedule: '25' is no hour; write 0 to 23",
    ),
    "name of a schedule": (
        ("    env:", "    cron:\n      - {name: Sweep, schedule: daily, command: flask sweep}\n    env:"),
        "main.yml:7: apps[0].cron[0].name: 'Sweep' will not do; write up to 27 lower-case letters, digits, - and _",
    ),
    "schedule without command": (
        ("    env:", "    cron:\n      - {name: sweep, schedule: daily}\n    env:"),
        "main.yml:7: apps[0].cron[0].command: missing; write `command: ...`",
    ),
    "long stop": (
        ("    env:", "    stop_timeouts: {worker: 1000}\n    env:"),
        "main.yml:6: apps[0].stop_timeouts.worker: must be seconds from 1 to 800, not 1000",
    ),
    "signal": (
        ("    env:", "    stop_signals: {worker: SIGTREM}\n    env:"),
        "main.yml:6: apps[0].stop_signals.worker: SIGTREM is no signal; did you mean TERM?",
    ),
    "mail address": (
        ("ann@example.com", "nobody"),
        "main.yml:9: admin_email: 'nobody' is no mail address; write you@example.com",
    ),
    "the example's mail address": (
        ("ann@example.com", "you@example.com"),
        "main.yml:9: admin_email: is the example's you@example.com; write the address that is to get the system's mail",
    ),
    "same key twice": (
        ("admin_email: ann", "admin_email: me@example.com\nadmin_email: ann"),
        "main.yml:10: YAML parsing failed: Found duplicate mapping key 'admin_email'; correct that file",
    ),
}


@pytest.mark.parametrize("hidden", ["group_vars/all.yml", "host_vars/web1.yaml"])
def test_a_file_of_variables_beside_a_folder_of_its_name_is_refused(place: Place, hidden: str) -> None:
    path = place.path / hidden
    path.with_suffix("").mkdir(parents=True, exist_ok=True)
    path.write_text("nginx_hsts: false\n")
    folder = Path(hidden).with_suffix("")
    assert place.refusal().splitlines() == [
        f"{hidden}: Ansible reads the folder {folder.name}/ instead of this file; move it to {folder}/main.yml"
    ]


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_with_file_line_and_key(place: Place, name: str) -> None:
    (old, new), line = MISTAKES[name]
    place.change(old, new)
    assert place.refusal().splitlines()[0] == f"group_vars/all/{line}"


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExam you@laptop", "is the example's key"),
        ("ssh-ed25519 AAAA… you@laptop", "is no public SSH key"),
        ("~/.ssh/id_ed25519.pub", "is no public SSH key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", "is a private key"),
    ],
)
def test_a_key_that_lets_nobody_in_is_refused(place: Place, key: str, said: str) -> None:
    place.write("group_vars/all/main.yml", f"{MAIN}base_admin_keys:\n  - {key!r}\n")
    assert place.refusal().startswith(f"group_vars/all/main.yml:11: base_admin_keys[0]: {said}")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("IP forwarding: 1", "hardening_sysctl.IP forwarding: is no name of a setting"),
        ("net.ipv4.ip_forward: true", "hardening_sysctl.net.ipv4.ip_forward: must be a number"),
        ('net.ipv4.ip_forward: "1\\nkernel.panic = 1"', "hardening_sysctl.net.ipv4.ip_forward: must be a number"),
        ("net.ipv4.ip_forward: [1]", "hardening_sysctl.net.ipv4.ip_forward: must be a number"),
    ],
)
def test_a_setting_that_the_kernel_could_not_take_is_refused(place: Place, line: str, said: str) -> None:
    place.write("group_vars/all/main.yml", f"{MAIN}hardening_sysctl:\n  {line}\n")
    assert said in place.refusal()


def test_settings_of_the_kernel_are_taken_as_sysctl_writes_them(place: Place) -> None:
    lines = ["net.ipv4.ip_forward: 1", "net.ipv4.ip_local_port_range: 1024 65535", "kernel.core_pattern: '|/bin/false'"]
    place.write("group_vars/all/main.yml", f"{MAIN}hardening_sysctl:\n" + "".join(f"  {line}\n" for line in lines))
    assert inventory.load(str(place.path)).apps


def test_public_keys_of_every_kind_are_taken(place: Place) -> None:
    kinds = ("ssh-ed25519", "ecdsa-sha2-nistp256", "sk-ssh-ed25519@openssh.com", 'from="192.0.2.1" ssh-rsa')
    keys = "".join(f"  - {kind} AAAAB3Nza+/C1== you@laptop\n" for kind in kinds)
    place.write("group_vars/all/main.yml", f"{MAIN}base_admin_keys:\n{keys}")
    inventory.load(str(place.path))


def test_the_address_of_the_example_is_refused(place: Place) -> None:
    place.write("hosts.yml", HOSTS.replace("192.0.2.1", "203.0.113.10"))
    assert "ansible_host: is the example's 203.0.113.10; write the address of your server" in place.refusal()


def test_every_mistake_is_told_at_once(place: Place) -> None:
    place.write("group_vars/all/main.yml", MAIN.replace("domains:", "domainz:").replace("admin_email", "mail"))
    assert len(place.refusal().splitlines()) == 4


def test_an_app_named_twice_is_refused(place: Place) -> None:
    second = "\n  - {name: guestbook, domains: [b.example.com], repository: x}\nadmin_email"
    place.change("\nadmin_email", second)
    assert "main.yml:9: apps[1].name: guestbook is taken by apps[0]; write another" in place.refusal()


@pytest.mark.parametrize(
    ("name", "more", "refused"),
    [
        ("guestbook-web", "", "guestbook-web would be confused with guestbook's process web; write another name"),
        ("guestbook-web-two", "", "guestbook-web-two would be confused with guestbook's process web"),
        ("guestbook-mail", "    scale: {mail: 2}\n", "guestbook-mail would be confused with guestbook's process mail"),
        ("guestbook-webshop", "", ""),
        ("guestbook-staging", "", ""),
    ],
)
def test_apps_whose_programs_could_get_one_name_are_refused(place: Place, name: str, more: str, refused: str) -> None:
    second = f"\n{more}  - {{name: {name}, domains: [b.example.com], repository: x}}\nadmin_email"
    place.change("\nadmin_email", second)
    if refused:
        assert refused in place.refusal()
    else:
        assert len(inventory.load(str(place.path)).apps) == 2


def test_timers_of_one_name_are_refused(place: Place) -> None:
    jobs = "    cron: [{{name: {}, schedule: daily, command: x}}]\n"
    second = "  - name: guestbook-mail\n    domains: [b.example.com]\n    repository: x\n"
    place.change("\nadmin_email", f"\n{jobs.format('mail-out')}{second}{jobs.format('out')}admin_email")
    assert "apps[1].cron[0].name: guestbook has a timer of that name" in place.refusal()


def test_text_that_is_rendered_gets_its_type(place: Place) -> None:
    place.change("    env:", '    keep_releases: "{{ 2 + 3 }}"\n    version: "{{ \'v\' ~ 2 }}"\n    env:')
    assert inventory.load(str(place.path)).app(None).version == "v2"


def test_a_template_that_cannot_be_rendered_is_one_line(place: Place) -> None:
    place.change("    env:", '    version: "{{ nowhere }}"\n    env:')
    assert place.refusal() == "group_vars/all/main.yml:6: 'nowhere' is undefined; correct that file"


def test_broken_yaml_of_hosts_is_told(place: Place) -> None:
    place.write("hosts.yml", "app:\n  hosts:\n web1: [\n")
    assert place.refusal().startswith("hosts.yml:3: YAML parsing failed:")


def test_no_host_in_the_group_app_is_told(place: Place) -> None:
    place.write("hosts.yml", HOSTS.replace("app:", "back:"))
    assert "no host in the group `app`" in place.refusal()


def test_no_group_web_is_told_and_an_empty_one_is_what_its_owner_wants(place: Place) -> None:
    place.write("hosts.yml", HOSTS.replace("web: {hosts: {web1: {}}}\n", ""))
    assert "no group `web`, so nothing would serve the apps; list their servers" in place.refusal()
    place.write("hosts.yml", HOSTS.replace("web: {hosts: {web1: {}}}", "web: {}"))
    assert inventory.load(str(place.path)).hosts


@pytest.mark.parametrize("nested", [False, True])
def test_a_misspelt_group_is_one_line_with_its_place(place: Place, nested: bool) -> None:
    text = HOSTS.replace("\nweb:", "\nwbe:")
    if nested:
        text = HOSTS.replace("\nweb: {hosts: {web1: {}}}", "") + "other:\n  children:\n    app: {}\n"
        text = text.replace("all:\n", "all:\n  children:\n    wbe: {hosts: {web1: {}}}\n")
    place.write("hosts.yml", text)
    assert place.refusal() == f"hosts.yml:{3 if nested else 10}: wbe: unknown group; did you mean web?"


@pytest.mark.parametrize(
    "own",
    [
        "webs: {hosts: {web1: {}}}",  # all of it is in web, too
        "berlin: {hosts: {web2: {ansible_host: 192.0.2.2}}}",  # near nothing
        "apps: {children: {berlin: {}}}\nberlin: {hosts: {web2: {}}}",
        "backs: {hosts: {web2: {}}, vars: {admin_email: bob@example.com}}",
        "webs: {hosts: {web2: {}}, vars: {admin_email: bob@example.com}}",
    ],
)
def test_groups_of_the_owner_are_left_alone(place: Place, own: str) -> None:
    place.write("hosts.yml", f"{HOSTS}{own}\n")
    assert inventory.load(str(place.path)).hosts[0].name == "web1"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("ansible_hst", "ansible_host"),
        ("ansible_prot", "ansible_port"),
        ("ansible_usr", "ansible_user"),
        ("ansible_ssh_privat_key_file", "ansible_ssh_private_key_file"),
        ("ansible_ssh_comon_args", "ansible_ssh_common_args"),
    ],
)
def test_a_misspelt_variable_of_the_connection_is_refused(place: Place, written: str, meant: str) -> None:
    place.write("hosts.yml", HOSTS.replace("ansible_port: 2222", f"{written}: x"))
    assert place.refusal() == f"hosts.yml:9: {written}: unknown; did you mean {meant}?"


@pytest.mark.parametrize(
    "known",
    [
        "ansible_become_password",
        "ansible_connection",
        "ansible_host_key_checking",
        "ansible_network_os",
        "ansible_perl_interpreter",
        "ansible_pipelining",
        "ansible_connection: containers.podman.podman, ansible_podman_extra_args",
        "ansible_python_interpreter",
        "ansible_scp_extra_args",
        "ansible_ssh_host_key",
        "ansible_ssh_pipelining",
        "ansible_sudo_pass",
        "ansible_my_own",
    ],
)
def test_what_ansible_and_the_owner_know_is_left_alone(place: Place, known: str) -> None:
    place.write("hosts.yml", HOSTS.replace("ansible_port: 2222", f"{known}: x".replace(", ", "\n      ")))
    assert inventory.load(str(place.path)).hosts


def test_a_directory_without_hosts_is_told(place: Place) -> None:
    (place.path / "hosts.yml").unlink()
    assert "no hosts in this inventory" in place.refusal()


def test_a_misspelt_environment_is_told_with_those_that_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "ROOT", tmp_path)
    Place(tmp_path / "inventories" / "staging")
    with pytest.raises(WindlassError, match=r"no inventory 'stagin' .*; there are: staging"):
        inventory.find("stagin")
    assert inventory.find("staging") == tmp_path / "inventories" / "staging"


def test_an_app_must_be_named_when_there_are_several(place: Place) -> None:
    place.change("\nadmin_email", "\n  - {name: blog, domains: [b.example.com], repository: x}\nadmin_email")
    environment = inventory.load(str(place.path))
    with pytest.raises(WindlassError, match="which app\\? there are: guestbook, blog; type --app guestbook"):
        environment.app(None)
    with pytest.raises(WindlassError, match=r"no app 'blgo' .*; did you mean blog\?"):
        environment.app("blgo")
    assert environment.app("blog").name == "blog"
    assert len(environment.selection(None)) == 2


def encrypt(place: Place, password: Path) -> None:
    file = place.path / "group_vars" / "all" / "vault.yml"
    command = [str(Path(sys.executable).with_name("ansible-vault")), "encrypt", str(file)]
    subprocess.run(
        command,
        env={**os.environ, "ANSIBLE_VAULT_PASSWORD_FILE": str(password)},
        check=True,
        capture_output=True,
    )


def in_a_fresh_process(place: Place, **environment: str) -> subprocess.CompletedProcess[str]:
    """Load the inventory as `fab` would: Ansible reads its own settings once, when it is imported."""
    code = (
        "import sys; from windlass import inventory, errors\n"
        "try: inventory.load(sys.argv[1])\n"
        "except errors.InventoryError: print('read')\n"
        "except errors.WindlassError as error: print(error); sys.exit(error.status)\n"
        "else: print('read')"
    )
    return subprocess.run(
        [sys.executable, "-c", code, str(place.path)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("written", "what"), [("s3\\rcret", "a carriage return"), ("s3\\0cret", "a NUL character")])
def test_a_secret_that_no_setting_can_hold_is_refused_without_its_value(place: Place, written: str, what: str) -> None:
    place.write("group_vars/all/vault.yml", f'vault_guestbook_secret_key: "{written}"\n')
    refusal = place.refusal()
    assert f"apps[0].env.SECRET_KEY: vault_guestbook_secret_key holds {what}" in refusal
    assert "cret;" not in refusal and "s3" not in refusal.replace(str(place.path), "")


def test_a_wrong_or_missing_vault_password_is_one_line(place: Place, tmp_path: Path) -> None:
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("correct horse\n")
    wrong.write_text("battery staple\n")
    encrypt(place, right)

    missing = in_a_fresh_process(place)
    assert missing.returncode == Status.USAGE
    assert "vault.yml: encrypted, and no vault password was given" in missing.stdout
    assert len((missing.stdout + missing.stderr).splitlines()) == 1

    refused = in_a_fresh_process(place, ANSIBLE_VAULT_PASSWORD_FILE=str(wrong))
    assert refused.returncode == Status.USAGE
    assert "vault.yml: the vault password is wrong" in refused.stdout
    assert "battery" not in refused.stdout + refused.stderr
    assert len((refused.stdout + refused.stderr).splitlines()) == 1

    absent = in_a_fresh_process(place, ANSIBLE_VAULT_PASSWORD_FILE=str(tmp_path / "absent"))
    assert (absent.returncode, absent.stderr) == (Status.USAGE, "")
    assert "absent was not found" in absent.stdout

    assert in_a_fresh_process(place, ANSIBLE_VAULT_PASSWORD_FILE=str(right)).stdout == "read\n"


def test_ansible_playbook_refuses_with_the_same_line(place: Place) -> None:
    place.change("domains:", "domainz:")
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i",
            str(place.path),
            str(ROOT / "playbooks" / "check.yml"),
        ],
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "COLUMNS": "400"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "main.yml:3: apps[0].domainz: unknown; did you mean domains?" in done.stdout + done.stderr


@pytest.mark.parametrize(("folder", "said"), [("absent", "no such inventory"), (".", "no hosts in this inventory")])
def test_ansible_playbook_does_not_end_well_without_a_host(tmp_path: Path, folder: str, said: str) -> None:
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i",
            str(tmp_path / folder),
            str(ROOT / "playbooks" / "check.yml"),
        ],
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "COLUMNS": "400"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert said in done.stdout


def test_every_key_of_the_reference_says_what_it_means() -> None:
    path = ROOT / "roles" / "app" / "meta" / "argument_specs.yml"
    options = yaml.safe_load(path.read_text())["argument_specs"]["main"]["options"]
    for name, spec in {**options, **options["apps"]["options"]}.items():
        assert spec.get("description") and spec.get("type"), name


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{} ci@pipeline"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (f"['{KEY.format('A' * 43)}']", ""),
        (
            "['restrict " + KEY.format("A" * 43) + "']",
            "apps[0].deploy_keys[0]: is no public SSH key alone on its line; write what the .pub file holds",
        ),
        (
            r'["' + KEY.format("A" * 43) + r'\nssh-ed25519 AAAA"]',
            "apps[0].deploy_keys[0]: is no public SSH key alone on its line; write what the .pub file holds",
        ),
        (
            "['" + KEY.format("C" * 43) + " too']",
            "apps[0].deploy_keys[0]: stands in base_deploy_keys too; make one for the pipeline alone",
        ),
    ],
)
def test_the_key_of_a_pipeline_is_one_key_and_for_nothing_else(place: Place, keys: str, said: str) -> None:
    text = MAIN.replace("    repository: ../guestbook\n", f"    repository: ../guestbook\n    deploy_keys: {keys}\n")
    place.write("group_vars/all/main.yml", text + f"base_deploy_keys: ['{KEY.format('C' * 43)}']\n")
    if said:
        assert place.refusal() == f"group_vars/all/main.yml:5: {said}"
    else:
        assert inventory.load(str(place.path)).apps


def test_a_pipeline_reads_the_inventory_without_the_vault(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = "    repository: ../guestbook\n"
    entry += "    notify: {webhook: '{{ vault_webhook }}'}\n"
    place.change("    repository: ../guestbook\n", entry)
    place.write("group_vars/all/vault.yml", "$ANSIBLE_VAULT;1.1;AES256\n6162\n")
    assert "no vault password was given" in place.refusal()
    monkeypatch.setenv("WINDLASS_WITHOUT_VAULT", "1")
    assert inventory.load(str(place.path)).app(None).name == "guestbook"
