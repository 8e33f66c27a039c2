#!/bin/sh
# Builds static binaries, runs the demo of each, and says how large they are.
# usage: packaging/build.sh PROFILE TARGET...
#
# zig is the C compiler and the linker: one download for every target, from PyPI. The standard library of a target comes
# from rustup, or is built from source where rustup has none to give.
set -eu
cd "$(dirname "$0")/.."

profile=$1
shift
out=target/packages/bin
tools=target/packages/tools
mkdir -p "$out"

if [ ! -x "$tools/bin/cargo-zigbuild" ]; then
    python3 -m venv "$tools"
    "$tools/bin/pip" install --quiet ziglang==0.17.0 cargo-zigbuild==0.24.0
fi
tools=$(cd "$tools" && pwd)

# Neither this folder nor the one of cargo's sources shows in a binary, so that each machine makes the same.
flags="--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=/cargo --remap-path-prefix=$(pwd)=/pinhole"

# Whether a compiler has the source of the standard library beside it, of its own version.
has_source() {
    command -v "$1" >/dev/null && [ -d "$("$1" --print sysroot)/lib/rustlib/src/rust/library" ]
}

# A compiler with that source: this machine's, or Debian's.
find_source() {
    if has_source rustc; then
        rustc=$(command -v rustc) cargo=$(command -v cargo)
        return
    fi
    if ! has_source /usr/bin/rustc && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get install -y -qq --no-install-recommends rustc-web cargo-web rust-web-src >/dev/null
    fi
    if ! has_source /usr/bin/rustc; then
        echo "There is no standard library for $target: neither from rustup, nor in source (rustup component" >&2
        echo "rust-src, or Debian's packages rustc-web, cargo-web and rust-web-src)." >&2
        exit 1
    fi
    rustc=/usr/bin/rustc cargo=/usr/bin/cargo
}

build() {
    if command -v rustup >/dev/null && rustup target add "$target" 2>/dev/null; then
        RUSTFLAGS=$flags PATH="$tools/bin:$PATH" \
            cargo-zigbuild zigbuild --locked --profile "$profile" --target "$target"
        built=${CARGO_TARGET_DIR:-target}/$target/$profile/pinhole
    else
        find_source
        # A folder of its own, because its compiler may be another one. musl is zig's, not the one that rustup ships.
        RUSTC=$rustc CARGO=$cargo RUSTC_BOOTSTRAP=1 RUSTFLAGS="$flags -C link-self-contained=no" \
            PATH="$tools/bin:$PATH" cargo-zigbuild zigbuild --locked --profile "$profile" --target "$target" \
            --target-dir target/dist -Z build-std=std,panic_abort
        built=target/dist/$target/$profile/pinhole
    fi
}

# What runs a binary of the target: nothing more, or qemu-user. Fails for others.
runner() {
    case $target in
        "$(uname -m)"-*) ;;
        aarch64-*) echo qemu-aarch64-static -cpu cortex-a53 ;;
        armv7-*) echo qemu-arm-static -cpu cortex-a7 ;;
        arm-*) echo qemu-arm-static -cpu arm1176 ;;
        *) return 1 ;;
    esac
}

for target; do
    build
    name=pinhole-${target%%-*}
    [ "$profile" = release ] || name=$name-$profile
    cp "$built" "$out/$name"
    printf '%s: %s bytes\n' "$out/$name" "$(wc -c <"$out/$name")"
    if ! runner=$(runner) || ! { [ -z "$runner" ] || command -v "${runner%% *}" >/dev/null; }; then
        echo "SKIPPED: the demo of $name, which needs qemu-user-static"
        continue
    fi
    # shellcheck disable=SC2086 # the runner is several words
    $runner "$out/$name" demo
done
