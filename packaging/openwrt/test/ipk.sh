#!/bin/sh
# Installs an ipk in a root of busybox as opkg does, and starts what it brings along there. There is no procd: what it
# would run is run by hand.
# usage: packaging/openwrt/test/ipk.sh FILE.ipk     needs root, busybox, tar; FILE is for this machine's processor
set -eu

here="$(cd "$(dirname "$0")" && pwd)"
work="$(mktemp -d)"
root="$work/root"
tunnel=

finish() {
	[ -z "$tunnel" ] || kill "$tunnel" 2>/dev/null || true
	rm -rf "$work"
}
trap finish EXIT

fail() {
	echo "FAILED: $*" >&2
	exit 1
}

# A router: busybox, the libraries that Debian's needs, a user database, and what the init script is run by.
router() {
	chmod 755 "$work"
	mkdir -p "$root/bin" "$root/dev" "$root/etc/config" "$root/lib" "$root/tmp" "$root/usr/bin"
	ln -s tmp "$root/var"
	cp "$(command -v busybox)" "$root/bin/busybox"
	for library in $(ldd "$root/bin/busybox" | grep -o '/[^ ]*'); do
		mkdir -p "$root/${library%/*}"
		cp "$library" "$root/$library"
	done
	for applet in $("$root/bin/busybox" --list); do
		[ -e "$root/bin/$applet" ] || ln -s busybox "$root/bin/$applet"
	done
	mknod -m 666 "$root/dev/null" c 1 3
	echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
	cp "$here/router.sh" "$root/lib/router.sh"
	cat >"$root/lib/functions.sh" <<'SH'
# Enables the service, and adds the user that the control file names, as OpenWrt's does.
default_postinst() {
	user=$(sed -n 's/^Require-User: *\([^:]*\):.*/\1/p' "$IPKG_INSTROOT/control")
	echo "$user:x:32768:32768:$user:/var/run/$user:/bin/false" >>"$IPKG_INSTROOT/etc/passwd"
	echo enabled >"$IPKG_INSTROOT/enabled"
}
default_prerm() {
	rm "$IPKG_INSTROOT/enabled"
}
SH
	cat >"$root/etc/rc.common" <<'SH'
#!/bin/sh
work=/tmp running=
. /lib/router.sh
unset -f chown id
touch /tmp/procd /tmp/log
cp /etc/config/pinhole /tmp/pinhole.config
. "$1"
"${2}_service"
SH
	chmod 755 "$root/etc/rc.common"
}

# debian-binary, control.tar.gz and data.tar.gz, in a tar.gz.
install_ipk() {
	tar -xzf "$1" -C "$work"
	[ "$(cat "$work/debian-binary")" = 2.0 ] || fail "debian-binary"
	tar -xzf "$work/data.tar.gz" -C "$root"
	tar -xzf "$work/control.tar.gz" -C "$work"
	[ "$(cat "$work/conffiles")" = /etc/config/pinhole ] || fail "conffiles: $(cat "$work/conffiles")"
	cp "$work/control" "$root/control"
	IPKG_INSTROOT="$root" sh "$work/postinst" || fail "postinst"
	grep -q '^pinhole:' "$root/etc/passwd" || fail "there is no user pinhole"
	[ -e "$root/enabled" ] || fail "the service is not enabled"
}

within() {
	chroot "$root" "$@"
}

router
install_ipk "$1"
within pinhole --version || fail "the program does not start"
within /etc/init.d/pinhole start || fail "/etc/init.d/pinhole start"
[ ! -s "$root/tmp/procd" ] || fail "something runs that nobody enabled"

mkdir -p "$root/etc/pinhole"
echo 'open sesame' >"$root/etc/pinhole/pin"
chmod 600 "$root/etc/pinhole/pin"
cat >"$root/etc/config/pinhole" <<'UCI'
config host 'nas'
	list services 'web=127.0.0.1:80'
	option pin_file 'pin'
	option no_stun '1'
	option json '1'
UCI
within /etc/init.d/pinhole start || fail "/etc/init.d/pinhole start"
[ ! -s "$root/tmp/log" ] || fail "it complains: $(cat "$root/tmp/log")"
command="$(sed -n '/^  command /{s/^  command \[//;s/\]$//;s/\] \[/ /gp;}' "$root/tmp/procd")"
[ "$command" = "/usr/bin/pinhole run /var/etc/pinhole/nas/pinhole.toml" ] || fail "procd is told to run $command"
touch "$work/said"
# As the user that procd is told of, who cannot read what root has in /etc/pinhole.
# shellcheck disable=SC2086 # the command is several words
chroot --userspec=32768:32768 "$root" $command >"$work/said" 2>"$work/errors" &
tunnel=$!
tries=0
until grep -q '"event":"listening"' "$work/said"; do
	tries=$((tries + 1))
	if [ "$tries" -ge 100 ] || ! kill -0 "$tunnel"; then
		fail "it does not run: $(cat "$work/said" "$work/errors")"
	fi
	sleep 0.1
done
kill "$tunnel"
wait "$tunnel" || fail "it does not end in order: $(cat "$work/said" "$work/errors")"
tunnel=
IPKG_INSTROOT="$root" sh "$work/prerm" || fail "prerm"
[ ! -e "$root/enabled" ] || fail "the service is still enabled"
echo "ok: ipk: installed, started and run in a root of busybox"
