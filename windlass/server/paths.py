"""Every place on the server that the release program knows, below one prefix."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from windlass.server.rollout.standby import NAME


@dataclass(frozen=True)
class Paths:
    """The places of one app; `prefix` is `/` on a server and a temporary directory in tests."""

    prefix: Path
    app: str

    @property
    def settings(self) -> Path:
        """The app's entry as the `app` role wrote it; no secrets."""
        return self.prefix / "etc/windlass" / f"{self.app}.json"

    @property
    def env(self) -> Path:
        """Settings and secrets of the app."""
        return self.prefix / "etc/windlass" / f"{self.app}.env"

    @property
    def owner_env(self) -> Path:
        """How the schema's owner reaches a database on another server; root only, and there only when it is on one."""
        return self.prefix / "etc/windlass" / f"{self.app}.owner.env"

    @property
    def notify(self) -> Path:
        """Where notices go, with the secret address of a webhook; root only, and there only when there is one."""
        return self.prefix / "etc/windlass" / f"{self.app}.notify.json"

    @property
    def standby(self) -> Path:
        """The socket at which a watcher takes a rollback, in a folder of root's own."""
        return self.state / NAME

    @property
    def unsent(self) -> Path:
        """Why the last notice could not be sent, until somebody has been told."""
        return self.state / "unsent"

    @property
    def maintenance(self) -> Path:
        """Exists while maintenance mode is on; nginx looks for it."""
        return self.prefix / "etc/windlass/maintenance" / self.app

    @property
    def cron(self) -> Path:
        """The scheduled commands of all apps, and whom to tell of one that fails; root only."""
        return self.prefix / "etc/windlass/cron.json"

    def cron_record(self, job: str) -> Path:
        """Return how a scheduled command ended; its lock lies beside it."""
        return self.state / f"cron-{job}.json"

    @property
    def home(self) -> Path:
        """Releases, shared folders and the package cache, on one file system."""
        return self.prefix / "srv" / self.app

    @property
    def releases(self) -> Path:
        """One folder per release, named so that order by name is order by time."""
        return self.home / "releases"

    @property
    def shared(self) -> Path:
        """What outlives a release."""
        return self.home / "shared"

    @property
    def current(self) -> Path:
        """Symlink to the live release."""
        return self.home / "current"

    @property
    def previous(self) -> Path:
        """Symlink to the release that was live before: its assets are served on."""
        return self.home / "previous"

    @property
    def cache(self) -> Path:
        """uv's cache, beside the releases so that its files can be hard links."""
        return self.home / "cache"

    @property
    def sockets(self) -> Path:
        """The sockets of the two colours and the symlink that nginx follows."""
        return self.prefix / "run" / self.app

    def socket(self, colour: str) -> Path:
        """Return the socket of one colour."""
        return self.sockets / f"{colour}.sock"

    @property
    def live_socket(self) -> Path:
        """Symlink to the live colour's socket."""
        return self.sockets / "web.sock"

    def process_lock(self, process: str) -> Path:
        """Return the lock that a process which may never be two holds while it runs."""
        return self.sockets / f"{process}.lock"

    @property
    def green(self) -> Path:
        """An empty file that is there exactly while green is live: nginx asks for it."""
        return self.sockets / "live/green"

    @property
    def state_file(self) -> Path:
        """Which release is live, and in which colour."""
        return self.state / "state.json"

    @property
    def intent(self) -> Path:
        """From which release to which a switch is under way; gone when it is complete."""
        return self.state / "switch.json"

    @property
    def watch(self) -> Path:
        """The watch of the live release, while there is one."""
        return self.state / "watch.json"

    @property
    def lock(self) -> Path:
        """Whoever changes what runs holds it."""
        return self.state / "lock"

    @property
    def access_log(self) -> Path:
        """What nginx answered to the app's visitors."""
        return self.prefix / "var/log/nginx" / f"{self.app}.access.log"

    @property
    def state(self) -> Path:
        """Release log, state, lock and incoming archives; root only."""
        return self.prefix / "var/lib/windlass" / self.app

    @property
    def snapshots(self) -> Path:
        """Copies of the database, each from before a release's migrations; root only."""
        return self.state / "snapshots"

    @property
    def log(self) -> Path:
        """What the app's processes print, as rsyslog writes it."""
        return self.prefix / "var/log" / self.app / "app.log"

    @property
    def supervisor_logs(self) -> Path:
        """What a program prints before its output goes to the journal."""
        return self.prefix / "var/log/supervisor"

    @property
    def supervisor_conf(self) -> Path:
        """Supervisor's drop-in folder."""
        return self.prefix / "etc/supervisor/conf.d"

    @property
    def supervisor_socket(self) -> Path:
        """Supervisor's XML-RPC."""
        return self.prefix / "run/supervisor.sock"

    @property
    def units(self) -> Path:
        """systemd's units made here."""
        return self.prefix / "etc/systemd/system"

    @property
    def stamps(self) -> Path:
        """When systemd's timers were last due."""
        return self.prefix / "var/lib/systemd/timers"

    @property
    def journal(self) -> Path:
        """journald's stream socket."""
        return self.prefix / "run/systemd/journal/stdout"

    @property
    def uv(self) -> Path:
        """The package installer."""
        return self.prefix / "opt/windlass/uv/bin/uv"

    @property
    def python(self) -> Path:
        """The interpreter for apps that name none."""
        return self.prefix / "usr/bin/python3"

    @property
    def certificates(self) -> Path:
        """The CAs that the server trusts."""
        return self.prefix / "etc/ssl/certs/ca-certificates.crt"

    @property
    def program(self) -> Path:
        """This program, as Supervisor starts it."""
        return self.prefix / "usr/local/sbin/windlass"
