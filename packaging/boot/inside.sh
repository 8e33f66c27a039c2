#!/bin/bash
# Tries the units of pinhole in a system that runs systemd, as root; packaging/boot.sh brings it there.
set -u
exec 2>&1
export LC_ALL=C SYSTEMD_COLORS=0

fail() {
    echo "FAILED: $*"
    systemctl --no-pager --full status 'pinhole*' | head -60
    journalctl --no-pager -q -n 60 -o short-monotonic
    exit 1
}

passed() {
    echo "ok: $*"
}

# Waits for a command to succeed.
await() {
    local what=$1
    shift
    for _ in $(seq 300); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    fail "$what: $*"
}

property() {
    systemctl show --property="$2" --value "$1"
}

has() {
    [ "$(property "$1" "$2")" = "$3" ]
}

# What comes out of a port of this machine.
fetch() {
    timeout 60 bash -c "cat </dev/tcp/127.0.0.1/$1" | sha256sum
}

# A user's systemctl.
as_you() {
    setpriv --reuid you --regid you --init-groups env HOME=/home/you XDG_RUNTIME_DIR="/run/user/$(id -u you)" \
        DBUS_SESSION_BUS_ADDRESS="unix:path=/run/user/$(id -u you)/bus" "$@"
}

prepare() {
    ip link set lo up
    head -c 20000000 /dev/urandom >/srv/data
    data=$(sha256sum </srv/data)
    cat >/etc/systemd/system/data.socket <<'UNIT'
[Socket]
ListenStream=127.0.0.1:8000
Accept=yes
UNIT
    cat >/etc/systemd/system/data@.service <<'UNIT'
[Service]
ExecStart=-/bin/cat /srv/data
StandardInput=null
StandardOutput=socket
UNIT
    systemctl daemon-reload
    systemctl start data.socket || fail "the service that is shared"
    [ "$(fetch 8000)" = "$data" ] || fail "the service that is shared"
}

# A host whose pin is root's alone, on a port that is root's alone.
start_host() {
    cat >/etc/pinhole/nas.toml <<'FILE'
[host]
services = ["data=8000"]
listen = "127.0.0.1:80"
pin-file = "nas.pin"
no-stun = true
FILE
    (umask 077 && echo "open sesame" >/etc/pinhole/nas.pin)
    mkdir -p /etc/systemd/system/pinhole@nas.service.d
    printf '[Service]\nLoadCredential=nas.pin:/etc/pinhole/nas.pin\n' >/etc/systemd/system/pinhole@nas.service.d/pin.conf
    systemctl daemon-reload
    systemctl enable --now --quiet pinhole@nas || fail "the host does not start"
    has pinhole@nas ActiveState active || fail "the host is not active"
    systemctl status pinhole@nas | grep -q 'Status: "waiting for a client"' || fail "the status is not shown"
    local pid user
    pid=$(property pinhole@nas MainPID)
    user=$(stat -c %u "/proc/$pid")
    [ "$user" -gt 60000 ] || fail "it runs as $user"
    ! grep -q sesame "/proc/$pid/environ" "/proc/$pid/cmdline" || fail "the pin is in the list of processes"
    passed "a host with Type=notify, DynamicUser (uid $user), LoadCredential and a port below 1024"
}

# A client with the same unit, and a direct path: sockets, interfaces and everything else that the filter permits.
start_client() {
    cat >/etc/pinhole/office.toml <<'FILE'
[client]
url = "ws://127.0.0.1:80/ws"
locals = ["data=8001"]
pin-file = "nas.pin"
no-stun = true
no-relay = true
retry = true
FILE
    mkdir -p /etc/systemd/system/pinhole@office.service.d
    cat >/etc/systemd/system/pinhole@office.service.d/pin.conf <<'UNIT'
[Service]
LoadCredential=nas.pin:/etc/pinhole/nas.pin
WatchdogSec=4
UNIT
    systemctl daemon-reload
    systemctl enable --now --quiet pinhole@office || fail "the client does not start"
    await "a direct path" has pinhole@office StatusText "connected, direct"
    await "the host's view of it" has pinhole@nas StatusText "1 client, 1 direct"
    [ "$(fetch 8001)" = "$data" ] || fail "20 MB through the tunnel are not what they were"
    passed "a client and a host connect directly, and 20 MB arrive as they were"
    ! journalctl -q | grep -E 'SECCOMP|seccomp|Bad system call|code=killed|code=dumped' || fail "something was killed"
    passed "the filter of system calls kills nothing"
}

reload() {
    local pid
    pid=$(property pinhole@nas MainPID)
    sed -i 's/^services = .*/services = ["data=8000", "again=8000"]/' /etc/pinhole/nas.toml
    fetch 8001 >/tmp/fetched &
    systemctl reload pinhole@nas || fail "systemctl reload"
    await "the reload" journalctl -q -u pinhole@nas --grep again
    wait
    [ "$(cat /tmp/fetched)" = "$data" ] || fail "a transfer across a reload is not what it was"
    has pinhole@nas MainPID "$pid" || fail "a reload is a restart"
    has pinhole@nas ActiveState active || fail "after a reload it is $(property pinhole@nas ActiveState)"
    has pinhole@nas StatusText "1 client, 1 direct" || fail "a reload disconnects"
    passed "systemctl reload: a service more, the same process, a transfer goes on"
    sed -i 's/^services = .*/services = [x/' /etc/pinhole/nas.toml
    systemctl reload pinhole@nas
    await "a word about a wrong file" journalctl -q -u pinhole@nas --grep 'stay as they were'
    has pinhole@nas MainPID "$pid" || fail "a wrong file ends the run"
    sed -i 's/^services = .*/services = ["data=8000"]/' /etc/pinhole/nas.toml
    passed "a wrong file changes nothing"
}

watchdog() {
    local pid
    pid=$(property pinhole@office MainPID)
    kill -STOP "$pid"
    await "a restart by the watchdog" has pinhole@office NRestarts 1
    await "its start" has pinhole@office ActiveState active
    [ "$(property pinhole@office MainPID)" != "$pid" ] || fail "the watchdog restarts nothing"
    journalctl -q -u pinhole@office | grep -q 'Watchdog timeout' || fail "it was not the watchdog"
    await "a new session" has pinhole@office StatusText "connected, direct"
    has pinhole@nas NRestarts 0 || fail "the host was restarted as well"
    passed "a process that stands still is restarted by the watchdog (WatchdogSec=4)"
}

wrong_file() {
    printf '[host]\nlisen = 1\n' >/etc/pinhole/wrong.toml
    ! systemctl start pinhole@wrong 2>/dev/null || fail "a wrong file starts"
    has pinhole@wrong ExecMainStatus 2 || fail "its exit code is $(property pinhole@wrong ExecMainStatus)"
    has pinhole@wrong ActiveState failed || fail "a wrong file is tried again"
    systemctl reset-failed pinhole@wrong
    passed "a wrong file is not tried again (exit code 2)"
}

hidden() {
    local pid seen
    pid=$(property pinhole@nas MainPID)
    seen=$(nsenter --target "$pid" --mount ls /home 2>&1)
    [ -z "$seen" ] || fail "the unit sees /home: $seen"
    ! nsenter --target "$pid" --mount touch /etc/pinhole/x 2>/dev/null || fail "the unit can write /etc"
    passed "the unit sees no /home, and can write no /etc"
}

stop() {
    systemctl disable --now --quiet pinhole@office
    systemctl disable --now --quiet pinhole@nas
    has pinhole@nas Result success || fail "the host ends with $(property pinhole@nas Result)"
    has pinhole@office Result success || fail "the client ends with $(property pinhole@office Result)"
    [ ! -e /run/pinhole/nas ] || fail "its runtime folder is left"
    passed "both end in order"
}

server() {
    printf '[server]\nlisten = "127.0.0.1:8080"\ntokens = "tokens"\n' >/etc/pinhole/server.toml
    (umask 077 && printf '[[token]]\nhash = "%s"\nids = ["nas"]\n' "$(printf sesame | sha256sum | cut -d' ' -f1)" \
        >/etc/pinhole/tokens.toml)
    mkdir -p /etc/systemd/system/pinhole-server.service.d
    printf '[Service]\nLoadCredential=tokens:/etc/pinhole/tokens.toml\n' \
        >/etc/systemd/system/pinhole-server.service.d/tokens.conf
    systemctl daemon-reload
    systemctl start pinhole-server || fail "the server does not start"
    has pinhole-server StatusText "waiting for a host" || fail "its status is $(property pinhole-server StatusText)"
    systemctl reload pinhole-server || fail "its reload"
    passed "a server, and its reload"
}

# With a host on that server.
install_for_all() {
    find /etc /home -newer /inside.sh -path '*pinhole*' | sort >/tmp/before
    pinhole install nas2 host data=8000 --server ws://127.0.0.1:8080 --id nas --token sesame --no-stun >/tmp/said ||
        fail "pinhole install: $(cat /tmp/said)"
    systemctl is-enabled --quiet pinhole@nas2 || fail "it is not enabled"
    await "the server's view" has pinhole-server StatusText "1 host, 0 clients"
    local pin
    pin=$(sed -n 's/^The pin is \(.*\)\.$/\1/p' /tmp/said)
    [ "$(stat -c %a /etc/pinhole/nas2.pin)" = 600 ] || fail "others can read its pin"
    # A user's own client of it.
    as_you pinhole install --user office client "ws://127.0.0.1:8080/ws/nas?pin=$pin" data=8002 --no-stun >/tmp/said ||
        fail "pinhole install --user: $(cat /tmp/said)"
    await "the client of a user" as_you systemctl --user is-active pinhole@office
    await "its session" grep -q "^connected" <(while sleep 0.2; do
        as_you systemctl --user show -P StatusText pinhole@office
    done)
    [ "$(fetch 8002)" = "$data" ] || fail "20 MB through a server are not what they were"
    passed "pinhole install: a host with a token, and a client of a user's own"
    as_you pinhole uninstall --user office >/dev/null || fail "pinhole uninstall --user"
    pinhole uninstall nas2 >/dev/null || fail "pinhole uninstall"
    ! systemctl is-active --quiet pinhole@nas2 || fail "it still runs"
    find /etc /home -newer /inside.sh -path '*pinhole*' | sort >/tmp/after
    diff /tmp/before /tmp/after || fail "pinhole uninstall leaves something"
    passed "pinhole uninstall: nothing is left"
    pinhole install nas3 host data=8000 --server ws://127.0.0.1:8080 --id nas --token wrong --no-stun >/tmp/said 2>&1 &&
        fail "a wrong token is installed"
    grep -q 'does not know the token' /tmp/said || fail "why it was not installed is not said: $(cat /tmp/said)"
    find /etc /home -newer /inside.sh -path '*pinhole*' | sort >/tmp/after
    diff /tmp/before /tmp/after || fail "a failed installation leaves something"
    has pinhole@nas3 ActiveState inactive || fail "it is $(property pinhole@nas3 ActiveState)"
    passed "an installation whose unit does not start is undone, and says why"
}

id you >/dev/null 2>&1 || useradd you
install -d -o you -g you /home/you
loginctl enable-linger you
prepare
start_host
start_client
reload
watchdog
wrong_file
hidden
stop
server
await "the systemd of a user" as_you systemctl --user is-system-running --wait
install_for_all
echo "everything passed"
