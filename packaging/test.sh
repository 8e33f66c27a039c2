#!/bin/sh
# Tests the packages of the binaries that `make dist` made: twice the same bytes; installed, run and removed again in a
# Debian without Rust, in an rpm root, and by install.sh.
# usage: packaging/test.sh x86_64 [NAME...]     needs root, busybox, debootstrap, lintian, rpm, shellcheck, python3-venv
set -eu
cd "$(dirname "$0")/.."

work=$(pwd)/target/packages
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
server=

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

passed() {
    echo "ok: $*"
}

# Says which files are there, but for dpkg's own.
list() {
    find "$1" -xdev \( -path "$1/proc" -o -path "$1/var/lib/dpkg" \) -prune -o -print | sort
}

same_twice() {
    rm -rf "$work/out" "$work/again"
    packaging/package.sh "$work/out" "$@"
    packaging/package.sh "$work/again" "$@"
    diff -r "$work/out" "$work/again" || fail "the same binary gives other bytes"
    passed "the same bytes twice"
}

deb() {
    package=$work/out/pinhole_$version-1_amd64.deb
    lintian --fail-on error,warning "$package" || fail "lintian"
    root=$work/debian
    [ -e "$root/usr/bin/dpkg" ] || debootstrap --variant=minbase bookworm "$root" >"$work/debootstrap.log" ||
        fail "debootstrap: see $work/debootstrap.log"
    chroot "$root" dpkg --purge pinhole >/dev/null 2>&1 || true
    list "$root" >"$work/before"
    cp "$package" "$root/pinhole.deb"
    chroot "$root" dpkg -i /pinhole.deb >/dev/null || fail "dpkg -i"
    # Twice, as an upgrade goes.
    chroot "$root" dpkg -i /pinhole.deb >/dev/null || fail "dpkg -i over an older one"
    rm "$root/pinhole.deb"
    chroot "$root" pinhole --version || fail "the installed program does not start"
    chroot "$root" pinhole demo >"$work/demo.log" 2>&1 || fail "the installed program's demo: see $work/demo.log"
    chroot "$root" dpkg --purge pinhole >/dev/null || fail "dpkg --purge"
    list "$root" >"$work/after"
    diff "$work/before" "$work/after" || fail "purge leaves something behind"
    passed "deb: installed, run and purged in a Debian without Rust"
}

# What the Dockerfile makes: the binary in an empty root, as nobody.
alone() {
    root=$work/alone
    rm -rf "$root"
    mkdir -p "$root"
    install -m 755 "$work/bin/pinhole-x86_64" "$root/pinhole"
    chroot --userspec=65534:65534 "$root" /pinhole demo >"$work/demo.log" 2>&1 ||
        fail "the demo in an empty root: see $work/demo.log"
    passed "the binary runs in an empty root, as nobody"
}

rpm_package() {
    root=$work/rpm
    rm -rf "$root"
    mkdir -p "$root"
    set -- rpm --root "$root" --dbpath /database
    "$@" --initdb
    "$@" --install --nodeps "$work/out/pinhole-$version-1.x86_64.rpm" || fail "rpm --install"
    "$root/usr/bin/pinhole" --version || fail "the installed program does not start"
    "$@" --erase pinhole || fail "rpm --erase"
    # What is left of /usr are the system's own folders, which are there on a real one.
    find "$root" \( -type f -o -name '*pinhole*' \) ! -path "$root/database/*" | grep . &&
        fail "erasing leaves something behind"
    passed "rpm: installed, run and erased"
}

start_server() {
    python3 -u -m http.server 0 --bind 127.0.0.1 --directory "$work/out" >"$work/http.log" 2>&1 &
    server=$!
    trap 'kill "$server"' EXIT
    tries=0
    until port=$(sed -n 's/.* port \([0-9]*\) .*/\1/p' "$work/http.log") && [ -n "$port" ]; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || fail "the HTTP server does not start"
        sleep 0.1
    done
}

# Runs install.sh in a shell, and looks at what it puts where.
installed_by() {
    prefix=$1
    shift
    "$@" || fail "$*"
    "$prefix/bin/pinhole" --version >/dev/null || fail "$* installs nothing that starts"
    [ -s "$prefix/share/man/man1/pinhole-host.1" ] || fail "$* installs no pages"
    [ -s "$prefix/share/bash-completion/completions/pinhole" ] || fail "$* installs no completions"
}

install_script() {
    shellcheck packaging/*.sh || fail "shellcheck"
    start_server
    from=http://127.0.0.1:$port
    there=$(mktemp -d)
    chmod 755 "$there"
    for shell in dash bash; do
        installed_by "$there/$shell" $shell packaging/install.sh --from "$from" --version "$version" \
            --prefix "$there/$shell"
    done
    installed_by "$there/file" dash packaging/install.sh --from "file://$work/out" --version "$version" \
        --prefix "$there/file"
    # Over the one that is there, while that runs.
    "$there/file/bin/pinhole" host 1 --no-stun >/dev/null 2>&1 &
    running=$!
    installed_by "$there/file" dash packaging/install.sh --from "$from" --version "$version" --prefix "$there/file"
    kill "$running" || fail "a pinhole that runs ended with its update"
    wait "$running" || true
    # Without root it goes into the home of its user.
    mkdir "$there/home" && chown 65534 "$there/home"
    cp packaging/install.sh "$there/install.sh"
    (cd "$there" && installed_by "$there/home/.local" setpriv --reuid 65534 --regid 65534 --clear-groups \
        env HOME="$there/home" dash "$there/install.sh" --from "$from" --version "$version")

    mkdir "$there/bad"
    cp "$work/out/pinhole-$version-x86_64.tar.gz" "$work/out/SHA256SUMS" "$there/bad"
    printf x >>"$there/bad/pinhole-$version-x86_64.tar.gz"
    refused 1 "not what SHA256SUMS says" --from "$there/bad" --version "$version"
    : >"$there/bad/SHA256SUMS"
    refused 1 "has no line" --from "$there/bad" --version "$version"
    refused 1 "cannot be fetched" --from "$from" --version 99.0.0
    refused 2 "--version is missing" --from "$from"
    refused 2 "is no version" --from "$from" --version ../..
    refused 2 "--frob is not known" --frob
    rm -rf "$there"
    passed "install.sh: by HTTP and from a folder, in dash and bash, as root and not"
}

# Expects an exit code and words of install.sh, and nothing installed.
refused() {
    code=$1 words=$2
    shift 2
    status=0
    dash packaging/install.sh --prefix "$there/refused" "$@" >"$work/said" 2>&1 || status=$?
    [ "$status" = "$code" ] || fail "install.sh $* ends with $status: $(cat "$work/said")"
    grep -q -e "$words" "$work/said" || fail "install.sh $* does not say '$words': $(cat "$work/said")"
    [ ! -e "$there/refused" ] || fail "install.sh $* installs something"
}

same_twice "$@"
install_script
alone
rpm_package
deb
packaging/openwrt/test/all.sh "$work/bin/pinhole-x86_64" "$work/out/pinhole_$version-1_x86_64.ipk"
