#!/bin/sh
# Tests the feed's Makefile without OpenWrt: what it includes is a few lines here, which do the same in small.
# usage: packaging/openwrt/test/feed.sh PINHOLE     needs make, and git with a checkout
set -eu

here="$(cd "$(dirname "$0")" && pwd)"
pinhole="$(cd "$(dirname "$1")" && pwd)/${1##*/}"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

fail() {
	echo "FAILED: $*" >&2
	exit 1
}

mkdir -p "$work/include" "$work/feeds/packages/lang/rust"
cat >"$work/rules.mk" <<'MK'
INCLUDE_DIR:=$(TOPDIR)/include
INSTALL_DIR:=install -d -m0755
INSTALL_BIN:=install -m0755
INSTALL_CONF:=install -m0600
INSTALL_DATA:=install -m0644
PKG_BUILD_DIR:=$(TOPDIR)/build
PKG_INSTALL_DIR:=$(TOPDIR)/installed
MK
cat >"$work/feeds/packages/lang/rust/rust-package.mk" <<'MK'
define Build/Compile/Cargo
	echo "cargo install --features $(RUST_PKG_FEATURES) $(2)" >$(TOPDIR)/cargo
	install -D $(PINHOLE) $(PKG_INSTALL_DIR)/bin/pinhole
endef
MK
cat >"$work/include/package.mk" <<'MK'
define BuildPackage
package:
	$$(Build/Prepare)
	$$(Build/Compile)
	$$(call Package/$(1)/install,$(TOPDIR)/root)
	echo "$(PKG_VERSION)" >$(TOPDIR)/version
endef
MK
make -s -C "$here/../net/pinhole" TOPDIR="$work" PINHOLE="$pinhole" package

[ "$(cat "$work/cargo")" = "cargo install --features cli,server --no-default-features" ] || fail "$(cat "$work/cargo")"
for file in Cargo.lock sctp/Cargo.toml src/main.rs LICENSE-MIT; do
	[ -f "$work/build/$file" ] || fail "what is built lacks $file"
done
version="$(sed -n 's/^version = "\(.*\)"/\1/p' "$work/build/Cargo.toml" | head -1)"
[ "$(cat "$work/version")" = "$version" ] || fail "PKG_VERSION is not $version"
found="$(cd "$work/root" && find . -type f -printf '%m %p\n' | sort -k2)"
expected='600 ./etc/config/pinhole
755 ./etc/init.d/pinhole
644 ./lib/upgrade/keep.d/pinhole
755 ./usr/bin/pinhole'
[ "$found" = "$expected" ] || fail "the package has $found"
PATH="$work/root/usr/bin:$PATH" "$here/../net/pinhole/test.sh" pinhole "$version" >"$work/said" 2>&1 ||
	fail "test.sh: $(cat "$work/said")"
echo "ok: the feed's Makefile and test.sh"
