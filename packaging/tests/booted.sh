#!/bin/sh
# Tests a deb in a Debian that systemd has booted, in a container: a service that is started, reloaded, upgraded, purged.
# usage: packaging/tests/booted.sh NEW_DEB OLD_DEB     needs root, debootstrap, systemd-nspawn
set -eu
. packaging/tests/lib.sh

new=$1 old=$2
root=$work/booted

# What runs inside. Its output is in /said, and its exit code in /done.
script() {
    cat <<'EOF'
#!/bin/sh
is_active() {
    systemctl is-active --quiet "$1"
}

main_process() {
    systemctl show --property MainPID --value "$1"
}

settings() {
    printf '[host]\nservices = %s\npin-file = "pin"\nno-stun = true\njson = true\n' "$1" >/etc/pinhole/nas.toml
}

run() {
    set -eux
    dpkg -i /old.deb
    settings '["web=80"]'
    (umask 077 && echo correct-horse-battery-staple >/etc/pinhole/nas.pin)
    mkdir -p /etc/systemd/system/pinhole@nas.service.d
    printf '[Service]\nLoadCredential=pin:/etc/pinhole/nas.pin\n' >/etc/systemd/system/pinhole@nas.service.d/pin.conf
    systemctl daemon-reload
    # Returns when the host says that it is ready.
    systemctl enable --now pinhole@nas
    is_active pinhole@nas
    before=$(main_process pinhole@nas)

    settings '["web=80", "ssh=22"]'
    systemctl reload pinhole@nas
    tries=0
    until journalctl --unit pinhole@nas --output cat | grep '"event":"reloaded"'; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ]
        sleep 0.1
    done
    [ "$(main_process pinhole@nas)" = "$before" ]

    # An upgrade restarts what runs.
    dpkg -i /new.deb
    is_active pinhole@nas
    [ "$(main_process pinhole@nas)" != "$before" ]
    # And nothing else.
    systemctl stop pinhole@nas
    dpkg -i /new.deb
    ! is_active pinhole@nas

    systemctl start pinhole@nas
    is_active pinhole@nas
    apt-get purge -y pinhole
    ! is_active pinhole@nas
    ! is_active pinhole-server
    [ -z "$(find /etc/systemd -name 'pinhole@nas.service')" ]
    [ -z "$(find / -xdev -name '*pinhole*' ! -path '/etc/pinhole*' ! -path '/etc/systemd/*' ! -path '/var/*')" ]
}

(run)
echo $? >/done
journalctl --unit 'pinhole@*' >/journal 2>&1
systemctl poweroff
EOF
}

# Made once, like those of the other tests, with systemd inside.
made() {
    [ ! -e "$root/complete" ] || return 0
    rm -rf "$root"
    debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus bookworm "$root" >"$work/debootstrap.log" 2>&1 ||
        fail "debootstrap: see $work/debootstrap.log"
    : >"$root/complete"
}

made
cp "$new" "$root/new.deb"
cp "$old" "$root/old.deb"
rm -rf "$root/done" "$root/said" "$root/etc/pinhole" "$root/etc/systemd/system/pinhole@nas.service.d"
script >"$root/run.sh"
cat >"$root/etc/systemd/system/run.service" <<'EOF'
[Service]
ExecStart=/bin/sh /run.sh
StandardOutput=file:/said
StandardError=inherit
EOF
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -sf ../run.service "$root/etc/systemd/system/multi-user.target.wants/run.service"
timeout 120 systemd-nspawn --quiet --boot --directory "$root" --machine pinhole-test --register=no --keep-unit \
    >"$work/boot.log" 2>&1 </dev/null || fail "the container does not end in order: see $work/boot.log and $root/said"
[ "$(cat "$root/done")" = 0 ] || fail "$(cat "$root/said")"
passed "a booted system: a service is started, reloaded, upgraded while it runs, and purged"
