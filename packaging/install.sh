#!/bin/sh
# Installs pinhole from a release: a static binary, the pages of the manual and completions.
# usage: install.sh --from URL --version VERSION [--prefix DIR], or install.sh --uninstall [--prefix DIR]
set -eu

version=
prefix=
from=
uninstall=

usage() {
    cat <<'EOF'
usage: install.sh --from URL --version VERSION [--prefix DIR]
       install.sh --uninstall [--prefix DIR]

  --from URL          where pinhole-VERSION-ARCH.tar.gz and SHA256SUMS are:
                      http(s)://…, file:///… or a folder [env: PINHOLE_FROM]
  --version VERSION   such as 0.1.0 [env: PINHOLE_VERSION]
  --prefix DIR        what bin/ and share/ are put into
                      [default: /usr/local for root, otherwise ~/.local]
  --uninstall         remove what this script put below DIR, and nothing else
EOF
}

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

wrong_usage() {
    echo "install.sh: $*" >&2
    usage >&2
    exit 2
}

parse() {
    version=${PINHOLE_VERSION-}
    from=${PINHOLE_FROM-}
    while [ $# -gt 0 ]; do
        case $1 in
            -h | --help)
                usage
                exit 0
                ;;
            --uninstall) uninstall=yes ;;
            --prefix | --version | --from)
                [ -n "${2-}" ] || wrong_usage "$1 needs a value"
                case $1 in
                    --prefix) prefix=$2 ;;
                    --version) version=$2 ;;
                    --from) from=${2%/} ;;
                esac
                shift
                ;;
            *) wrong_usage "$1 is not known" ;;
        esac
        shift
    done
    if [ -z "$uninstall" ]; then
        [ -n "$from" ] || wrong_usage "--from is missing"
        [ -n "$version" ] || wrong_usage "--version is missing"
        case $version in
            *[!0-9A-Za-z.+-]*) wrong_usage "$version is no version" ;;
        esac
    fi
    if [ -z "$prefix" ]; then
        if [ "$(id -u)" = 0 ]; then
            prefix=/usr/local
        else
            [ -n "${HOME-}" ] || fail "HOME is not set; give --prefix DIR"
            prefix=$HOME/.local
        fi
    fi
    check_prefix
}

# A unit needs the whole path, and what comes later is for another folder. What systemd, sed or a shell would read
# otherwise is refused before anything is written.
check_prefix() {
    case $prefix in
        /*) ;;
        ./*) prefix=$(pwd)/${prefix#./} ;;
        *) prefix=$(pwd)/$prefix ;;
    esac
    while [ "$prefix" != / ] && [ "$prefix" != "${prefix%/}" ]; do
        prefix=${prefix%/}
    done
    case $prefix in
        *[!0-9A-Za-z/._+@-]*)
            wrong_usage "the prefix may have letters, digits and / . _ + @ - only, because units of systemd have its" \
                "path: $prefix"
            ;;
        */.. | */../*) wrong_usage "the prefix may have no .., because systemd takes no such path: $prefix" ;;
    esac
    [ "$prefix" != / ] || prefix=
}

# The name of this machine's kind of binary. A first Pi, a Zero and a Zero W are armv6l.
architecture() {
    system=$(uname -s)
    machine=$(uname -m)
    [ "$system" = Linux ] || fail "there is no binary for $system; build it with cargo"
    case $machine in
        x86_64 | amd64) name=x86_64 ;;
        # A 64-bit kernel may have a 32-bit system above it; a static binary does not mind.
        aarch64 | arm64 | armv8*) name=aarch64 ;;
        armv7*) name=armv7 ;;
        armv6*) name=arm ;;
        *) fail "there is no binary for $machine; build it with cargo" ;;
    esac
    echo "$name"
}

# Fetches a file of the release into the folder.
fetch() {
    case $from in
        http://* | https://*)
            if command -v curl >/dev/null; then
                curl --fail --silent --show-error --location --output "$folder/$1" "$from/$1"
            elif command -v wget >/dev/null; then
                # busybox's knows no more than this.
                wget -q -O "$folder/$1" "$from/$1"
            else
                fail "neither curl nor wget is installed"
            fi || fail "$from/$1 cannot be fetched"
            ;;
        *) cp "${from#file://}/$1" "$folder/$1" || fail "$from/$1 cannot be read" ;;
    esac
}

# Compares a file of the folder with its line in SHA256SUMS.
verify() {
    expected=$(sed -n "s/^\([0-9a-f]\{64\}\) [ *]$1\$/\1/p" "$folder/SHA256SUMS")
    [ -n "$expected" ] || fail "SHA256SUMS has no line for $1"
    if command -v sha256sum >/dev/null; then
        found=$(sha256sum "$folder/$1")
    elif command -v shasum >/dev/null; then
        found=$(shasum -a 256 "$folder/$1")
    else
        fail "neither sha256sum nor shasum is installed, and what was fetched cannot be checked"
    fi
    [ "${found%% *}" = "$expected" ] || fail "$1 is not what SHA256SUMS says: it is damaged, or somebody changed it"
}

# Puts a file in its place, through a name beside it: a pinhole that runs goes on with the old one. Whatever has that
# name is removed first, because cp would follow a link.
put() {
    mkdir -p "$(dirname "$prefix/$2")"
    rm -f "$prefix/$2.new"
    cp "$1" "$prefix/$2.new"
    chmod "$3" "$prefix/$2.new"
    mv -f "$prefix/$2.new" "$prefix/$2"
}

install() {
    # mv would put the program into it.
    [ ! -d "$prefix/bin/pinhole" ] || fail "$prefix/bin/pinhole is a folder; move it away, or give another --prefix"
    release=pinhole-$version-$(architecture)
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    trap 'exit 1' HUP INT TERM
    fetch SHA256SUMS
    fetch "$release.tar.gz"
    verify "$release.tar.gz"
    # Not every tar unpacks by itself, and not every one may set owners.
    gzip -dc "$folder/$release.tar.gz" | tar -xof - -C "$folder"
    tree=$folder/$release
    "$tree/pinhole" --version >/dev/null || fail "$release does not run on this machine"
    before=
    [ ! -e "$prefix/bin/pinhole" ] || before=yes
    put "$tree/pinhole" bin/pinhole 755
    for page in "$tree"/man/*.[1-9]; do
        put "$page" "share/man/man${page##*.}/${page##*/}" 644
    done
    put "$tree/completions/pinhole.bash" share/bash-completion/completions/pinhole 644
    put "$tree/completions/_pinhole" share/zsh/site-functions/_pinhole 644
    put "$tree/completions/pinhole.fish" share/fish/vendor_completions.d/pinhole.fish 644
    units
    echo "$prefix/bin/pinhole is $("$prefix/bin/pinhole" --version)"
    [ -z "$before" ] || echo "a pinhole that runs goes on with the old one until it is started again"
    advise
}

# What systemd has to know, where there is one. It looks below /usr/local and ~/.local, too.
units() {
    command -v systemctl >/dev/null || return 0
    unit user/pinhole@.service share/systemd/user/pinhole@.service
    [ "$(id -u)" = 0 ] || return 0
    unit pinhole@.service lib/systemd/system/pinhole@.service
    unit pinhole-server.service lib/systemd/system/pinhole-server.service
    reload_systemd
}

unit() {
    sed "s|/usr/bin/pinhole|$prefix/bin/pinhole|" "$tree/systemd/$1" >"$folder/unit"
    put "$folder/unit" "$2" 644
}

reload_systemd() {
    [ ! -d /run/systemd/system ] || [ "$(id -u)" != 0 ] || systemctl daemon-reload || true
}

# How the shell finds the program, if it does not.
advise() {
    case ":$PATH:" in
        *":$prefix/bin:"*) return ;;
    esac
    echo "$prefix/bin is not in your PATH; this adds it, and in your shell's profile it stays:"
    echo "  PATH=\"$prefix/bin:\$PATH\""
}

uninstall() {
    found=
    for file in "$prefix/bin/pinhole" "$prefix/share/man/man1/pinhole.1" "$prefix"/share/man/man1/pinhole-*.1 \
        "$prefix/share/man/man5/pinhole.toml.5" "$prefix/share/bash-completion/completions/pinhole" \
        "$prefix/share/zsh/site-functions/_pinhole" "$prefix/share/fish/vendor_completions.d/pinhole.fish" \
        "$prefix/share/systemd/user/pinhole@.service" "$prefix/lib/systemd/system/pinhole@.service" \
        "$prefix/lib/systemd/system/pinhole-server.service"; do
        # A link that leads nowhere is there, too.
        if [ -f "$file" ] || [ -L "$file" ]; then
            rm -f "$file" || fail "$file cannot be removed"
            found=yes
        fi
    done
    [ -n "$found" ] || fail "there is no pinhole in $prefix/bin, and nothing of it below $prefix"
    reload_systemd
    echo "pinhole is removed from $prefix; what you wrote for it is still there"
}

main() {
    parse "$@"
    if [ -n "$uninstall" ]; then
        uninstall
    else
        install
    fi
}

# At the end, so that a script that arrived in part does nothing.
main "$@"
