#!/bin/sh
# Tests packaging/install.sh with each shell and each program that fetches.
# usage: packaging/tests/install_script.sh OUT     needs root, python3, busybox; OUT has tarballs and SHA256SUMS
set -eu
. packaging/tests/lib.sh

out=$1

# Runs install.sh, and looks at what it puts where: installed_by PREFIX COMMAND...
installed_by() {
    prefix=$1
    shift
    "$@" >"$work/said" || fail "$*: $(cat "$work/said")"
    "$prefix/bin/pinhole" --version >/dev/null || fail "$* installs nothing that starts"
    [ -s "$prefix/share/man/man1/pinhole-host.1" ] || fail "$* installs no pages"
    [ -s "$prefix/share/bash-completion/completions/pinhole" ] || fail "$* installs no completions"
    unit=$prefix/share/systemd/user/pinhole@.service
    [ -n "${no_systemd-}" ] || grep -q "^ExecStart=$prefix/bin/pinhole run " "$unit" || fail "$* installs no unit"
}

# Expects that nothing is left below a folder: uninstalled PREFIX COMMAND...
uninstalled() {
    prefix=$1
    shift
    "$@" >"$work/said" || fail "$*: $(cat "$work/said")"
    found=$(find "$prefix" ! -type d)
    [ -z "$found" ] || fail "$* leaves $found"
}

# Expects that a prefix is refused in each shell, and nothing written anywhere: refused_prefix PREFIX
refused_prefix() {
    before=$(find "$there")
    for sh in dash bash "busybox sh"; do
        status=0
        # shellcheck disable=SC2086 # busybox sh is two words
        $sh packaging/install.sh --from "$out" --version "$version" --prefix "$1" >"$work/said" 2>&1 || status=$?
        [ "$status" = 2 ] || fail "$sh: the prefix $1 ends with $status: $(cat "$work/said")"
        grep -q 'the prefix may have' "$work/said" || fail "$sh: of the prefix $1 it says: $(cat "$work/said")"
        [ "$(find "$there")" = "$before" ] || fail "$sh: with the prefix $1 something is written"
    done
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

# A PATH with nothing but busybox, as a router has it.
busybox_alone() {
    mkdir "$there/busybox"
    for applet in $(busybox --list); do
        ln -s "$(command -v busybox)" "$there/busybox/$applet"
    done
}

serve "$out"
from=http://127.0.0.1:$port
there=$(mktemp -d)
chmod 755 "$there"
trap 'stop_all; rm -rf "$there"' EXIT
busybox_alone

for shell in dash bash; do
    installed_by "$there/$shell" "$shell" packaging/install.sh --from "$from" --version "$version" \
        --prefix "$there/$shell"
done
# That has no systemd.
no_systemd=yes
installed_by "$there/router" env PATH="$there/busybox" sh packaging/install.sh --from "$from" --version "$version" \
    --prefix "$there/router"
no_systemd=
uninstalled "$there/router" env PATH="$there/busybox" sh packaging/install.sh --uninstall --prefix "$there/router"

# Over the one that is there, while that runs.
installed_by "$there/file" dash packaging/install.sh --from "file://$out" --version "$version" --prefix "$there/file"
grep -q "$there/file/bin is not in your PATH" "$work/said" || fail "install.sh does not speak of PATH"
start "$work/host.log" "$there/file/bin/pinhole" host 1 --no-stun --json
running=$pid
wait_for "$work/host.log" '"event":"listening"'
installed_by "$there/file" env PATH="$there/file/bin:$PATH" dash packaging/install.sh --from "$out" \
    --version "$version" --prefix "$there/file"
grep -q 'not in your PATH' "$work/said" && fail "install.sh speaks of a PATH that is right"
grep -q 'goes on with the old one' "$work/said" || fail "install.sh does not say that a pinhole runs"
stop "$running" || fail "a pinhole that runs is harmed by its update"
touch "$there/file/share/man/man1/other.1"
dash packaging/install.sh --uninstall --prefix "$there/file" >"$work/said"
[ "$(find "$there/file" ! -type d)" = "$there/file/share/man/man1/other.1" ] ||
    fail "--uninstall removes too much, or too little"

# A prefix that counts from here, and one that is the end of a path.
script=$(pwd)/packaging/install.sh
in_there() {
    (cd "$there" && "$@")
}
installed_by "$there/here/b" in_there dash "$script" --from "$out" --version "$version" --prefix here/b//
uninstalled "$there/here/b" in_there busybox sh "$script" --uninstall --prefix ./here/b
newline='
'
# shellcheck disable=SC2016 # that is the name
for wrong in ../up a/.. "a b" "a|b" 'a&b' "a'b" 'a"b' 'a\b' 'a%b' 'a$b' 'a:b' "a${newline}b" "a$newline" 'aéb'; do
    refused_prefix "$there/$wrong"
done

# No link is followed, and what an earlier try has left is no hindrance.
mkdir -p "$there/link/bin"
echo precious >"$there/precious"
ln -s "$there/precious" "$there/link/bin/pinhole.new"
installed_by "$there/link" dash packaging/install.sh --from "$out" --version "$version" --prefix "$there/link"
[ "$(cat "$there/precious")" = precious ] || fail "install.sh writes where a link leads"
[ ! -L "$there/link/bin/pinhole" ] || fail "install.sh installs a link"
# The rest goes without the program, too, and once only.
rm "$there/link/bin/pinhole"
uninstalled "$there/link" dash packaging/install.sh --uninstall --prefix "$there/link"

mkdir -p "$there/folder/bin/pinhole"
status=0
dash packaging/install.sh --from "$out" --version "$version" --prefix "$there/folder" >"$work/said" 2>&1 || status=$?
[ "$status" = 1 ] || fail "a folder in the place of the program ends with $status: $(cat "$work/said")"
grep -q 'bin/pinhole is a folder' "$work/said" || fail "install.sh does not speak of the folder: $(cat "$work/said")"
[ -z "$(find "$there/folder" ! -type d)" ] || fail "install.sh writes something beside a folder in its way"

# Without root it goes into the home of its user.
mkdir "$there/home"
chown 65534 "$there/home"
cp packaging/install.sh "$there/install.sh"
as_nobody() {
    (cd "$there" && setpriv --reuid 65534 --regid 65534 --clear-groups env HOME="$there/home" "$@")
}
installed_by "$there/home/.local" as_nobody dash "$there/install.sh" --from "$from" --version "$version"
uninstalled "$there/home/.local" as_nobody dash "$there/install.sh" --uninstall
status=0
as_nobody dash "$there/install.sh" --uninstall >"$work/said" 2>&1 || status=$?
[ "$status" = 1 ] || fail "there is nothing to uninstall, and it ends with $status"

mkdir "$there/bad"
cp "$out/pinhole-$version-$(uname -m).tar.gz" "$out/SHA256SUMS" "$there/bad"
printf x >>"$there/bad/pinhole-$version-$(uname -m).tar.gz"
refused 1 "not what SHA256SUMS says" --from "$there/bad" --version "$version"
: >"$there/bad/SHA256SUMS"
refused 1 "has no line" --from "$there/bad" --version "$version"
refused 1 "cannot be fetched" --from "$from" --version 99.0.0
refused 2 "--version is missing" --from "$from"
refused 2 "is no version" --from "$from" --version ../..
refused 2 "--frob is not known" --frob
refused 1 "there is no pinhole" --uninstall
passed "install.sh: by HTTP and from a folder, in dash, bash and busybox, as root and not, over a running one; removed"
