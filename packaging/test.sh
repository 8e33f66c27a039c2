#!/bin/sh
# Tests the packages of the binaries that `make dist` made: twice the same bytes; installed, upgraded, run and removed
# in a Debian without Rust for each processor, in an rpm root, and by install.sh.
# usage: packaging/test.sh NAME...     NAME as for packaging/package.sh, this machine's among them
#        needs root, busybox, curl, debootstrap, lintian, rpm, shellcheck, python3-venv; qemu-user-static for others,
#        buildah if the image, and systemd-container if a booted system is to be tested
set -eu
cd "$(dirname "$0")/.."
. packaging/tests/lib.sh

out=$work/out
older=$work/older
registered=

same_twice() {
    rm -rf "$out" "$work/again" "$older"
    packaging/package.sh "$out" "$@"
    packaging/package.sh "$work/again" "$@" >/dev/null
    diff -r "$out" "$work/again" || fail "the same binary gives other bytes"
    VERSION=0.0.1 packaging/package.sh "$older" "$@" >/dev/null
    passed "the same bytes twice"
}

lint() {
    for script in packaging/rpm/*; do
        shellcheck --shell=sh "$script" || fail "shellcheck $script"
    done
    shellcheck --external-sources packaging/*.sh packaging/tests/*.sh packaging/deb/* || fail "shellcheck"
    lintian --fail-on error,warning "$out"/*.deb || fail "lintian"
    passed "shellcheck and lintian"
}

# The binary in an empty root, as nobody.
alone() {
    root=$work/alone
    rm -rf "$root"
    mkdir -p "$root"
    install -m 755 "$native" "$root/pinhole"
    chroot --userspec=65534:65534 "$root" /pinhole demo >"$work/demo.log" 2>&1 ||
        fail "the demo in an empty root: see $work/demo.log"
    passed "the binary runs in an empty root, as nobody"
}

image() {
    if ! command -v buildah >/dev/null; then
        echo "SKIPPED: the image of the Dockerfile, which needs buildah"
        return
    fi
    storage=$work/image
    set -- buildah --root "$storage/root" --runroot "$storage/run" --storage-driver vfs
    "$@" build --isolation chroot --quiet --build-arg "BINARY=${native#"$(pwd)/"}" --tag pinhole . >/dev/null ||
        fail "the Dockerfile"
    container=$("$@" from pinhole)
    "$@" run --isolation chroot "$container" /pinhole demo >"$work/demo.log" 2>&1 ||
        fail "the demo in the image: see $work/demo.log"
    "$@" rm --all >/dev/null
    "$@" rmi --all >/dev/null
    rm -rf "$storage"
    passed "the image of the Dockerfile runs"
}

# The kernel starts programs of another processor with qemu, if it is told so: for a root that has no qemu.
runs_foreign() {
    [ "$1" != "$(uname -m)" ] || return 0
    mount | grep -q ' /proc/sys/fs/binfmt_misc type binfmt_misc' ||
        mount -t binfmt_misc none /proc/sys/fs/binfmt_misc || return 1
    case $1 in
        aarch64) format=qemu-aarch64 ;;
        *) format=qemu-arm ;;
    esac
    [ ! -e "/proc/sys/fs/binfmt_misc/$format" ] || return 0
    cat "/usr/lib/binfmt.d/$format.conf" >/proc/sys/fs/binfmt_misc/register || return 1
    registered="$registered $format"
}

# As it was before.
unregister() {
    for format in $registered; do
        echo -1 >"/proc/sys/fs/binfmt_misc/$format"
    done
}
trap 'stop_all; unregister' EXIT

debs() {
    for name; do
        if ! runs_foreign "$name"; then
            echo "SKIPPED: the deb for $name, which needs qemu-user-static and binfmt_misc"
            continue
        fi
        case $name in
            x86_64) architecture=amd64 file=amd64 ;;
            aarch64) architecture=arm64 file=arm64 ;;
            armv7) architecture=armhf file=armhf ;;
            # There is no Debian for it, but programs for ARMv6 run on ARMv7.
            arm) architecture=armhf file=armhf-armv6 ;;
        esac
        packaging/tests/deb.sh "$architecture" "$out/pinhole_$version-1_$file.deb" "$older/pinhole_0.0.1-1_$file.deb"
    done
}

same_twice "$@"
lint
packaging/tests/install_script.sh "$out"
alone
image
packaging/tests/rpm.sh "$out/pinhole-$version-1.$(uname -m).rpm" "$older/pinhole-0.0.1-1.$(uname -m).rpm"
packaging/openwrt/test/all.sh "$native" "$out/pinhole_$version-1_$(uname -m).ipk"
debs "$@"
if command -v systemd-nspawn >/dev/null; then
    packaging/tests/booted.sh "$out/pinhole_$version-1_$(dpkg --print-architecture).deb" \
        "$older/pinhole_0.0.1-1_$(dpkg --print-architecture).deb"
else
    echo "SKIPPED: the deb in a booted system, which needs systemd-container"
fi
