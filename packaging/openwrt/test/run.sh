#!/bin/sh
# Tests what OpenWrt gets: the init script, with a router made of shell functions and the real program, and the feed's
# Makefile.
# usage: packaging/openwrt/test/run.sh PINHOLE      in the shell that runs this: sh, dash or busybox sh
# shellcheck shell=dash disable=SC1003,SC1091,SC2016,SC2034,SC2119,SC2120,SC2154
set -e

here="$(cd "$(dirname "$0")" && pwd)"
package="$here/../net/pinhole"
pinhole="$(cd "$(dirname "$1")" && pwd)/${1##*/}"
work="$(mktemp -d)"
running=
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

. "$here/router.sh"
. "$package/files/pinhole.init"
PROG="$pinhole" RUN="$work/run" ETC="$work/etc"
mkdir "$ETC"

# Calls the script as procd's rc.common does, without `set -e`; what the section is comes from stdin.
start() {
	cat >"$work/pinhole.config"
	start_again "$@"
}

start_again() {
	rm -f "$work/log" "$work/owners" "$work/procd"
	touch "$work/log" "$work/owners" "$work/procd"
	set +e
	start_service "$@"
	set -e
}

# Waits until the tunnel has printed something.
wait_for() {
	local tries=0

	until grep -q "$1" "$work/said"; do
		tries=$((tries + 1))
		if [ "$tries" -ge 200 ] || ! kill -0 "$tunnel"; then
			fail "there is no $1: $(cat "$work/said")"
		fi
		sleep 0.1
	done
}

# Compares what is in a file with stdin.
expect() {
	sed "s|$work||g; s|$pinhole|pinhole|g" "$work/$1" >"$work/found"
	cat >"$work/expected"
	diff -u "$work/expected" "$work/found" >&2 || fail "$1 is not what it should be: $test"
}

test="each section becomes an instance with a file of its own"
printf 'open sesame\n' >"$ETC/pin"
printf 'abc\n' >"$ETC/token"
start <<'UCI'
config host 'nas'
	option enabled '1'
	list services 'web=127.0.0.1:80'
	list services	"22"   # a comment
	option server 'wss://meet.example.org'
	option id 'nas'
	option token_file '/SECRETS/token'
	option pin_file 'pin'
	option retry 'yes'
	option json 'off'
	option verbose 2

config client 'office'
	option enabled 'no'
	option url 'wss://meet.example.org'

config server
	option open '1'
	option listen '127.0.0.1:0'
	option user 'root'
UCI
# UCI has no variables.
sed "s|/SECRETS|$ETC|" "$work/pinhole.config" >"$work/with-path" && mv "$work/with-path" "$work/pinhole.config"
start_again
expect log </dev/null
expect procd <<'PROCD'
instance [nas]
  command [pinhole] [run] [/run/nas/pinhole.toml]
  respawn [3600] [5] [0]
  reload_signal [HUP]
  file [/run/nas/pinhole.toml]
  file [/run/nas/pin_file]
  file [/run/nas/token_file]
  limits [nofile=65536 65536]
  user [pinhole]
  stdout [1]
  stderr [1]
  term_timeout [15]
instance [cfg03]
  command [pinhole] [run] [/run/cfg03/pinhole.toml]
  respawn [3600] [5] [0]
  reload_signal [HUP]
  file [/run/cfg03/pinhole.toml]
  limits [nofile=65536 65536]
  user [root]
  stdout [1]
  stderr [1]
  term_timeout [15]
PROCD
expect run/nas/pinhole.toml <<'TOML'
[host]
services = ["web=127.0.0.1:80", "22"]
server = "wss://meet.example.org"
id = "nas"
token-file = "token_file"
pin-file = "pin_file"
retry = true
json = false
verbose = 2
TOML
expect run/cfg03/pinhole.toml <<'TOML'
[server]
open = true
listen = "127.0.0.1:0"
TOML
expect owners <<'OWNERS'
chown pinhole /run/nas.new
chown root /run/cfg03.new
OWNERS
"$pinhole" verify "$RUN/nas/pinhole.toml" >"$work/said"
expect said <<'SAID'
/run/nas/pinhole.toml is right: it is a host of web and 22, reached as nas through wss://meet.example.org
SAID
modes="$(find "$RUN" -mindepth 1 \( -type d ! -perm 700 -o -type f ! -perm 600 \))"
[ -z "$modes" ] || fail "others can read $modes"

test="one that is asked for by name is the only one"
start_again cfg03
[ "$(grep -c '^instance' "$work/procd")" = 1 ] || fail "$test"

test="a value stays a value"
awkward="'\"\\ \$(touch $work/injected) \`touch $work/injected\` ;&|<>*?[x]#\"
json = true
once = \"a\\"
CONFIG_odd_id=$awkward
given=" odd.id"
set +e
mkdir "$work/odd"
write_file odd host "$work/odd"
set -e
[ "$(grep -c . "$work/odd/pinhole.toml")" = 2 ] || fail "a value goes on in another line: $(cat "$work/odd/pinhole.toml")"
[ ! -e "$work/injected" ] || fail "a value was run"
# TOML's own parser says what was written.
if python3 -c 'import tomllib' 2>/dev/null; then
	AWKWARD="$awkward" python3 -c 'import os, sys, tomllib
found = tomllib.load(open(sys.argv[1], "rb"))
assert found == {"host": {"id": os.environ["AWKWARD"]}}, found' "$work/odd/pinhole.toml" || fail "$test"
fi
for value in '' '"' '\' '\\' '""' 'a"b' '\"' 'ends\' "it's" 'ä€' '*' '${HOME}' '%s\n'; do
	quote "$value"
	printf '[host]\nservices = [1]\npin = %s\n' "$quoted" >"$work/quoted.toml"
	case $value in
		'') ;;
		*) "$pinhole" verify "$work/quoted.toml" >/dev/null 2>&1 || fail "'$value' is written as $quoted" ;;
	esac
done

test="a section that is wrong is said, and does not keep others from starting"
start <<'UCI'
config host 'typo'
	list services '8080'
	option pinfile 'pin'
config host 'secret'
	list services '8080'
	option pin_file 'none'
config host 'flag'
	list services '8080'
	option retry 'perhaps'
config host 'line'
	list services '80'
	option listen '80
json = true'
config tunnel 'role'
	list services '8080'
config host 'stranger'
	list services '8080'
	option user 'mallory'
config host 'right'
	list services '8080'
UCI
expect log <<'LOG'
typo is not started: there is no pinfile in [host]; did you mean pin-file?
secret is not started: pin-file: cannot read /etc/none: No such file or directory (os error 2); write the pin into its first line
flag is not started: retry takes true or false, and this is a text
line is not started: listen '80\njson = true': it has no port number, and names of services are not understood; give a port or an address of this machine, for example 5000, :5000 for every address, or 0 for any free port
role is not started: there is no [tunnel]; a file has one of [host], [client] and [server]
stranger is not started: there is no user mallory; add it, or choose another one with option user
LOG
[ "$(grep '^instance' "$work/procd")" = "instance [right]" ] || fail "$test"
[ "$(cd "$RUN" && echo typo* secret* right*)" = "typo* secret* right" ] || fail "folders of wrong sections are left"

test="what runs goes on when its section becomes wrong"
cp "$RUN/right/pinhole.toml" "$work/before"
running="[pinhole right]"
start <<'UCI'
config host 'right'
	list services '8080'
	option lisen ':80'
UCI
expect log <<'LOG'
right goes on with the settings that it has: there is no lisen in [host]; did you mean listen?
LOG
grep -q '^instance \[right\]' "$work/procd" || fail "procd would end it"
cmp "$work/before" "$RUN/right/pinhole.toml" || fail "its file was replaced"
running=

test="what runs takes over what its section says anew"
start <<'UCI'
config host 'live'
	list services 'web=127.0.0.1:80'
	option no_stun '1'
	option json '1'
UCI
"$pinhole" run "$RUN/live/pinhole.toml" >"$work/said" 2>&1 &
tunnel=$!
wait_for '"event":"listening"'
running="[pinhole live]"
start <<'UCI'
config host 'live'
	list services 'web=127.0.0.1:80'
	list services 'ssh=127.0.0.1:22'
	option no_stun '1'
	option json '1'
UCI
# As procd does when a file of the instance is another one.
kill -HUP "$tunnel"
wait_for '"event":"reloaded"'
kill "$tunnel"
wait "$tunnel" || fail "it does not end in order: $(cat "$work/said")"
tunnel=
running=

test="a file in place of options"
printf '[client]\nurl = "ws://192.168.1.7:5000"\npin-file = "pin"\n' >"$ETC/my tunnel.toml"
chmod 600 "$ETC"/*
start <<'UCI'
config client 'short'
	option config 'my tunnel.toml'
config client 'both'
	option config 'my tunnel.toml'
	list locals '80'
config client 'missing'
	option config '/no/such.toml'
UCI
sed -n '1,5p' "$work/procd" >"$work/procd.start"
expect procd.start <<'PROCD'
instance [short /etc/my tunnel.toml]
  command [pinhole] [run] [/etc/my tunnel.toml]
  respawn [3600] [5] [0]
  reload_signal [HUP]
  file [/etc/my tunnel.toml]
PROCD
expect log <<'LOG'
both is not started: it names a file with option config, and locals belongs there
missing is not started: /no/such.toml: it cannot be read: No such file or directory (os error 2)
LOG

test="the examples are right once they are enabled"
printf '[host]\nservices = [80]\n' >"$ETC/other.toml"
sed 's/option enabled 0/option enabled 1/' "$package/files/pinhole.config" >"$work/examples"
start <"$work/examples"
expect log </dev/null
[ "$(grep -c '^instance' "$work/procd")" = 3 ] || fail "$test"
start <"$package/files/pinhole.config"
expect procd </dev/null

test="triggers"
: >"$work/procd"
service_triggers
expect procd <<'PROCD'
reload on a change of pinhole
on interface.*.up of wan: /etc/init.d/pinhole reload
PROCD

test="no room"
# A file in place of the folder is as good as a full file system, and works for root, too.
rm -rf "$RUN"
touch "$RUN"
start 2>/dev/null <<'UCI'
config host 'nas'
	list services '8080'
UCI
expect log <<'LOG'
nas is not started: /run/nas.new cannot be written
LOG
expect procd </dev/null

echo "ok: pinhole.init"
