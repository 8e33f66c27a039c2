#!/bin/sh
# Everything that can be tested of OpenWrt without a router.
# usage: packaging/openwrt/test/all.sh PINHOLE FILE.ipk     needs root, busybox, dash, make, shellcheck
set -eu
pinhole="$(realpath "$1")" ipk="$(realpath "$2")"
cd "$(dirname "$0")/.."

shellcheck net/pinhole/files/pinhole.init net/pinhole/test.sh postinst prerm test/*.sh
dash test/run.sh "$pinhole"
busybox sh test/run.sh "$pinhole"
test/feed.sh "$pinhole"
test/ipk.sh "$ipk"
