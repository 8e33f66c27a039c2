#!/bin/sh
# Tests an rpm in a root of its own: installed, upgraded, erased.
# usage: packaging/tests/rpm.sh NEW_RPM OLD_RPM     needs root, rpm
set -eu
. packaging/tests/lib.sh

new=$1 old=$2
root=$work/rpm
rm -rf "$root"
mkdir -p "$root"
set -- rpm --root "$root" --dbpath /database
"$@" --initdb
# The scripts need a shell, which this root has not; what they do is for systemd, which is not there either.
"$@" --install --nodeps --noscripts "$old" || fail "rpm --install"
"$@" --upgrade --nodeps --noscripts "$new" || fail "rpm --upgrade"
[ "$("$@" --query pinhole)" = "pinhole-$version-1.$(uname -m)" ] || fail "the newer package is not there"
"$root/usr/bin/pinhole" --version || fail "the installed program does not start"
for unit in system/pinhole@.service system/pinhole-server.service user/pinhole@.service; do
    [ -s "$root/usr/lib/systemd/$unit" ] || fail "there is no $unit"
done
"$@" --erase --noscripts pinhole || fail "rpm --erase"
# What is left of /usr are the system's own folders, which are there on a real one.
find "$root" \( -type f -o -name '*pinhole*' \) ! -path "$root/database/*" | grep . &&
    fail "erasing leaves something behind"
for script in packaging/rpm/*; do
    for count in 0 1 2; do
        sh -eu "$script" "$count" || fail "$script $count"
    done
done
passed "rpm: installed, upgraded, run and erased"
