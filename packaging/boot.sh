#!/bin/sh
# Boots a Debian with systemd in a container, and has packaging/boot/inside.sh try the units there: how systemd hears of
# a run, the watchdog, a reload, credentials, what a hardened unit can still do, and pinhole install.
# usage: packaging/boot.sh [BINARY]     needs root, debootstrap, systemd-container
#
# BINARY runs on Debian 12; by default it is the static one that `make dist` made.
set -eu
cd "$(dirname "$0")/.."

binary=${1:-target/packages/bin/pinhole-x86_64}
root=$(pwd)/target/packages/boot
# Longest time for the whole of it, in seconds.
patience=300

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

for program in debootstrap systemd-nspawn; do
    command -v "$program" >/dev/null || fail "$program is not there; apt-get install debootstrap systemd-container"
done
[ -x "$binary" ] || fail "$binary is not there; make dist makes it"

[ -e "$root/usr/lib/systemd/systemd" ] || {
    rm -rf "$root"
    debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,libpam-systemd,iproute2,procps bookworm "$root" \
        >"$root.log" || fail "debootstrap: see $root.log"
}

# As every time: the program, the units, and nothing of the last one.
rm -rf "$root/etc/pinhole" "$root/etc/systemd/system/"*pinhole* "$root/home/you" "$root/var/lib/systemd/linger" \
    "$root/var/log/journal" "$root/result"
install -m 755 "$binary" "$root/usr/bin/pinhole"
mkdir -p "$root/etc/pinhole" "$root/usr/lib/systemd/system" "$root/usr/lib/systemd/user"
install -m 644 packaging/systemd/*.service "$root/usr/lib/systemd/system/"
install -m 644 packaging/systemd/user/*.service "$root/usr/lib/systemd/user/"
install -m 755 packaging/boot/inside.sh "$root/inside.sh"
cat >"$root/etc/systemd/system/inside.service" <<'UNIT'
[Unit]
Description=What is tried
After=multi-user.target
SuccessAction=exit
FailureAction=exit-force

[Service]
Type=oneshot
ExecStart=/inside.sh
StandardOutput=file:/result
StandardError=inherit
TimeoutStartSec=infinity

[Install]
WantedBy=default.target
UNIT
chroot "$root" systemctl enable --quiet inside.service

timeout --kill-after=10 "$patience" systemd-nspawn --quiet --boot --directory="$root" --private-network --register=no \
    --keep-unit --link-journal=no --console=pipe --kill-signal=SIGRTMIN+3 </dev/null >"$root.console" 2>&1 ||
    echo "the container ended with $?" >>"$root.console"
[ -s "$root/result" ] || fail "the container did not come to the tests: see $root.console"
cat "$root/result"
tail -n 1 "$root/result" | grep -q '^everything passed' || fail "see above, and $root.console"
