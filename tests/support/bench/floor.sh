#!/bin/bash
# What a release cannot do without, in plain shell: floor.sh deploy | install | rollback, the archive on stdin.
#
# script/bench runs it over one SSH connection beside `fab`, on the same server, with the same app and database, but
# with folders, sockets and processes of its own (/srv/floor, /run/floor). It checks nothing, undoes nothing, tells
# nothing and is supervised by nobody. `deploy` takes the packages of the last release, `install` installs them anew.
# The old processes are told to end and not waited for: Windlass lets them run on, for the time of its watch.
set -eu
mode=$1 app=guestbook builder=guestbook-build home=/srv/floor sockets=/run/floor

as() { local user=$1; shift; setpriv --reuid "$user" --regid "$user" --init-groups "$@"; }

await_end() { # PID FILE
  local pid
  pid=$(cat "$1" 2>/dev/null) || return 0
  kill -TERM "$pid" 2>/dev/null || return 0
  for _ in $(seq 1500); do kill -0 "$pid" 2>/dev/null || return 0; sleep 0.02; done
  return 1
}

install -d -o "$builder" -g "$builder" -m 0750 "$home" "$home/releases" "$home/cache"
install -d -o "$app" -g "$app" "$sockets"
live=$(readlink "$home/current" || true)
old=$(readlink "$sockets/web.sock" || true)
if [ "$old" = blue.sock ]; then colour=green; else colour=blue; fi

# build
if [ "$mode" = rollback ]; then
  new=$(readlink "$home/previous")
else
  new=$home/releases/$(date +%s%N)
  install -d -o "$builder" -g "$builder" -m 0750 "$new"
  as "$builder" tar --extract --gzip --no-same-owner --file=- --directory="$new"
  cd "$new"
  if [ "$mode" = deploy ]; then
    as "$builder" cp --archive --link "$live/.venv" .venv
  else
    as "$builder" env HOME="$home/cache" UV_CACHE_DIR="$home/cache/uv" UV_PYTHON=/usr/bin/python3 UV_PYTHON_DOWNLOADS=never \
      UV_LINK_MODE=hardlink UV_NATIVE_TLS=1 UV_SYSTEM_CERTS=1 SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
      /opt/windlass/uv/bin/uv --quiet sync --locked --no-dev --compile-bytecode
  fi
  ln -s "/etc/windlass/$app.env" .env
  as "$app" .venv/bin/python -m flask deploy >/dev/null
fi
cd "$new"

# start; whoever had this socket has ended long ago, or would remove it
await_end "$sockets/$colour.pid"
export WEB_CONCURRENCY=$(($(nproc) + 1)) # as many as the release program starts
as "$app" setsid --fork .venv/bin/python -m gunicorn --bind "unix:$sockets/$colour.sock" --pid "$sockets/$colour.pid" \
  --no-control-socket wsgi:app </dev/null >/dev/null 2>&1

# probe
python3 -ISc '
import socket, sys, time
end = time.monotonic() + 30
while time.monotonic() < end:
    try:
        asked = socket.socket(socket.AF_UNIX)
        asked.connect(sys.argv[1])
        asked.sendall(b"GET /healthz HTTP/1.0\r\nHost: guestbook.test\r\nX-Forwarded-Proto: https\r\n\r\n")
        sys.exit(0 if b" 200 " in asked.recv(100) else 1)
    except OSError:
        time.sleep(0.02)
sys.exit(1)
' "$sockets/$colour.sock"

# switch
ln -sfn "$new" "$home/.current" && mv -T "$home/.current" "$home/current"
ln -s "$colour.sock" "$sockets/.web.sock" && mv -T "$sockets/.web.sock" "$sockets/web.sock"

# drain
if [ -n "$old" ]; then
  while ss -Hxl | awk -v path="$sockets/$old" '$5 == path && $3 > 0 { busy = 1 } END { exit !busy }'; do sleep 0.02; done
fi

# retire
await_end "$sockets/worker.pid"
as "$app" setsid --fork sh -c 'echo $$ > "$1"; exec .venv/bin/python -m flask worker' sh "$sockets/worker.pid" </dev/null >/dev/null 2>&1
if [ -n "$old" ]; then
  kill -TERM "$(cat "$sockets/${old%.sock}.pid")" 2>/dev/null || true
  ln -sfn "$live" "$home/previous"
fi
