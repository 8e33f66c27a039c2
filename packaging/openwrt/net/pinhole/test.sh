#!/bin/sh
# What OpenWrt's CI runs once it has installed a package: its name and its version are the arguments.
set -eu

[ "$1" = pinhole ] || exit 0

fail() {
	echo "FAILED: $1" >&2
	exit 1
}

pinhole --version | grep -qF "$2" || fail "pinhole --version does not say $2"

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
printf '[host]\nservices = ["web=127.0.0.1:80"]\n' >"$folder/right.toml"
pinhole verify "$folder/right.toml" || fail "a file that is right is refused"
printf '[host]\nservice = 80\n' >"$folder/wrong.toml"
! pinhole verify "$folder/wrong.toml" || fail "a file that is wrong is accepted"

# A host, a client and a web service, over the loopback of this machine.
pinhole demo || fail "the demo"
