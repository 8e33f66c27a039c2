#!/bin/sh
# Tests a deb as its user has it, in a Debian without Rust: installed, run as a service that is set up in six lines,
# upgraded and reloaded while a client fetches a large file, removed, purged.
# usage: packaging/tests/deb.sh DEBIAN_ARCH NEW_DEB OLD_DEB     needs root, debootstrap; for others' processors, binfmt
set -eu
. packaging/tests/lib.sh

architecture=$1 new=$2 old=$3
megabytes=${MEGABYTES:-100}
# So slow that it is still under way when everything else is done.
rate=${RATE:-8M}

install_deb() {
    cp "$1" "$root/pinhole.deb"
    in_root dpkg -i /pinhole.deb >"$work/dpkg.log" 2>&1 || fail "dpkg -i $1: $(cat "$work/dpkg.log")"
    rm "$root/pinhole.deb"
}

# Expects a version of the package in the root.
has_version() {
    # shellcheck disable=SC2016 # dpkg-query fills it in
    found=$(in_root dpkg-query -f '${Version}' -W pinhole)
    [ "$found" = "$1" ] || fail "the package is $found, and not $1"
}

purge() {
    in_root apt-get purge -y pinhole >"$work/dpkg.log" 2>&1 || fail "apt-get purge: $(cat "$work/dpkg.log")"
}

# Expects that a root is as it was before, but for the files whose names are given.
left() {
    list "$root" >"$work/after"
    found=$(comm -13 "$work/before" "$work/after")
    [ "$found" = "$(printf '%s' "$1")" ] || fail "what is left behind: $found"
    [ -z "$(comm -23 "$work/before" "$work/after")" ] || fail "purge removes too much"
}

# Starts a client of the host on this machine; http://$local leads to the service then.
join() {
    start "$work/client-$1.log" "$native" client "$url" "$1=0" --pin-file "$root/etc/pinhole/nas.pin" --no-stun --json
    wait_for "$work/client-$1.log" '"event":"forwarding"'
    local=$(sed -n 's/.*"event":"forwarding".*"local":"\([^"]*\)".*/\1/p' "$work/client-$1.log")
}

settings() {
    cat >"$root/etc/pinhole/nas.toml" <<EOF
[host]
services = $1
listen = "127.0.0.1:0"
pin-file = "nas.pin"
no-stun = true
json = true
EOF
}

secret() {
    echo correct-horse-battery-staple >"$1"
    chmod 600 "$1"
}

served() {
    files=$work/files
    mkdir -p "$files"
    head -c "$((megabytes * 1000000))" /dev/urandom >"$files/large"
    head -c 1000000 "$files/large" >"$files/small"
    serve "$files"
    sum=$(sha256sum <"$files/large")
}

run_while_upgraded() {
    install_deb "$old"
    has_version 0.0.1-1
    secret "$root/etc/pinhole/nas.pin"
    settings "[\"files=127.0.0.1:$port\"]"
    in_root pinhole verify /etc/pinhole/nas.toml || fail "the file of six lines is wrong"
    start "$work/host.log" env LC_ALL=C chroot "$root" pinhole run /etc/pinhole/nas.toml
    host=$pid
    wait_for "$work/host.log" '"event":"listening"'
    url=$(sed -n 's/.*"event":"listening".*"url":"\([^"?]*\).*/\1/p' "$work/host.log")

    join files
    curl --silent --show-error --fail --limit-rate "$rate" "http://$local/large" >"$work/fetched" &
    fetch=$!
    started="$started $fetch"
    wait_for "$work/host.log" '"event":"stream-opened"'

    install_deb "$new"
    has_version "$version-1"
    kill -0 "$host" || fail "a host ends when its package is upgraded"
    settings "[\"files=127.0.0.1:$port\", \"again=127.0.0.1:$port\"]"
    kill -HUP "$host"
    wait_for "$work/host.log" '"event":"reloaded"'
    join again
    curl --silent --show-error --fail "http://$local/small" | cmp - "$files/small" ||
        fail "the service that the reload added gives something else"
    kill -0 "$fetch" || fail "the transfer was over too early to show anything: see RATE"
    wait "$fetch" || fail "the transfer broke off: $(cat "$work/host.log")"
    [ "$(sha256sum <"$work/fetched")" = "$sum" ] || fail "what arrived is not what was sent"
    stop "$host" || fail "the host ends with $?: $(cat "$work/host.log")"
    rm "$work/fetched"
    passed "$architecture: $megabytes MB arrived, through an upgrade and a reload that added a service"
}

examples() {
    folder=$root/tmp/examples
    mkdir "$folder"
    cp "$root"/usr/share/doc/pinhole/examples/*.toml "$folder"
    secret "$folder/pin"
    secret "$folder/token"
    for example in "$folder"/*.toml; do
        in_root pinhole verify "/tmp/examples/${example##*/}" || fail "the example ${example##*/}"
    done
    rm -r "$folder"
}

remove() {
    in_root apt-get remove -y pinhole >"$work/dpkg.log" 2>&1 || fail "apt-get remove: $(cat "$work/dpkg.log")"
    left "$root/etc/pinhole
$root/etc/pinhole/nas.pin
$root/etc/pinhole/nas.toml"
    install_deb "$new"
    # As `systemctl enable` makes it.
    ln -s /usr/lib/systemd/system/pinhole@.service "$wants/pinhole@nas.service"
    purge
    rm "$root"/etc/pinhole/nas.*
    rmdir "$root/etc/pinhole"
    left ""
    install_deb "$new"
    purge
    left ""
    passed "$architecture: removed and purged, and nothing is left but what somebody wrote into /etc/pinhole"
}

# What the package asks of systemd, where one runs. A stand-in has two instances, and writes down what it is told.
with_systemd() {
    mkdir -p "$root/run/systemd/system" "$root/usr/local/sbin"
    cat >"$root/usr/local/sbin/systemctl" <<'EOF'
#!/bin/sh
case "$*" in
    *list-units*) printf 'pinhole@nas.service loaded active running\npinhole@office.service loaded active running\n' ;;
    *) echo "systemctl $*" >>/told ;;
esac
EOF
    printf '#!/bin/sh\necho "invoke $*" >>/told\n' >"$root/usr/local/sbin/deb-systemd-invoke"
    chmod +x "$root/usr/local/sbin/systemctl" "$root/usr/local/sbin/deb-systemd-invoke"
    : >"$root/told"

    install_deb "$old"
    told "systemctl --system daemon-reload"
    install_deb "$new"
    told "systemctl --system daemon-reload
invoke try-restart pinhole@nas.service
invoke try-restart pinhole@office.service"
    in_root dpkg --remove pinhole >"$work/dpkg.log"
    told "invoke stop pinhole@nas.service
invoke stop pinhole@office.service
systemctl --system daemon-reload"
    in_root dpkg --purge pinhole >"$work/dpkg.log"
    rm -r "$root/run/systemd" "$root/told" "$root"/usr/local/sbin/*systemd* "$root/usr/local/sbin/systemctl"
    left ""
    passed "$architecture: an upgrade restarts the instances that run, and removal stops them"
}

told() {
    [ "$(cat "$root/told")" = "$1" ] || fail "systemd is told: $(cat "$root/told")"
    : >"$root/told"
}

debian "$architecture"
in_root dpkg --purge pinhole >"$work/dpkg.log" 2>&1 || true
rm -rf "$root/etc/pinhole" "$root/tmp/examples"
wants=$root/etc/systemd/system/multi-user.target.wants
mkdir -p "$wants"
list "$root" >"$work/before"
served
run_while_upgraded
examples
remove
with_systemd
