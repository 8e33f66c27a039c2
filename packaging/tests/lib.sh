# What the tests of packages share. packaging/test.sh runs them, from the root of the repository.
# shellcheck shell=sh disable=SC2034 # the variables are for those who read this file
work=$(pwd)/target/packages
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
native=$work/bin/pinhole-$(uname -m)
started=

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

passed() {
    echo "ok: $*"
}

# Runs a command in the background until this script ends. Its output goes into a file, its number is $pid.
start() {
    output=$1
    shift
    # Before the command starts, so that nobody reads what an earlier one wrote.
    : >"$output"
    "$@" >"$output" 2>&1 &
    pid=$!
    started="$started $pid"
}

stop_all() {
    for each in $started; do
        kill "$each" 2>/dev/null || true
    done
}
trap stop_all EXIT
trap 'exit 1' HUP INT TERM

# Ends a process that was started, in order, and returns its exit code.
stop() {
    kill "$1" || return 1
    wait "$1"
}

# Waits up to 60 seconds for a line in a file: wait_for FILE WORDS
wait_for() {
    tries=0
    until grep -q -e "$2" "$1"; do
        tries=$((tries + 1))
        [ "$tries" -lt 600 ] || fail "there is no '$2' in $1: $(cat "$1")"
        sleep 0.1
    done
}

# Serves a folder by HTTP on a free port, which is in $port then.
serve() {
    start "$work/http.log" python3 -u -m http.server 0 --bind 127.0.0.1 --directory "$1"
    wait_for "$work/http.log" ' port [0-9]'
    port=$(sed -n 's/.* port \([0-9]*\) .*/\1/p' "$work/http.log")
}

# Makes a Debian of an architecture, without Rust, in the folder $root, unless it is there.
debian() {
    root=$work/debian-$1
    [ ! -e "$root/complete" ] || return 0
    rm -rf "$root"
    debootstrap --variant=minbase --arch="$1" bookworm "$root" >"$work/debootstrap.log" 2>&1 ||
        fail "debootstrap: see $work/debootstrap.log"
    rm -f "$root"/var/cache/apt/archives/*.deb
    : >"$root/complete"
}

# Says which files a root has, but for what dpkg and apt write for themselves.
list() {
    find "$1" -xdev \( -path "$1/proc" -o -path "$1/var/lib/dpkg" -o -path "$1/var/lib/apt" -o -path "$1/var/cache" \
        -o -path "$1/var/log" \) -prune -o -print | sort
}

in_root() {
    DEBIAN_FRONTEND=noninteractive LC_ALL=C chroot "$root" "$@"
}
