#!/bin/sh
# Installs larder, for the user who runs this; no root is needed.
#
#   sh install.sh [--to DIR]
#
# --to DIR     where the program goes [default: /usr/local/bin if that may be written to, else ~/.local/bin]
# LARDER_URL   where releases are: an address, or a directory [default: the newest release on GitHub]
#
# The archive is compared with its checksum before anything of it is unpacked.
set -eu

url=${LARDER_URL:-https://github.com/larder-ci/larder/releases/latest/download}
to=

fail() {
    printf 'install.sh: error: %s\n' "$1" >&2
    exit "${2:-1}"
}

while [ $# -gt 0 ]; do
    case $1 in
        --to)
            [ $# -gt 1 ] || fail '--to needs a directory' 2
            to=$2
            shift 2
            ;;
        --to=*)
            to=${1#--to=}
            shift
            ;;
        *) fail "$1 is unknown; use --to DIR" 2 ;;
    esac
done

[ "$(uname -s)" = Linux ] || fail "larder runs on Linux only, and this is $(uname -s)" 3
case $(uname -m) in
    x86_64 | amd64) arch=x86_64 ;;
    aarch64 | arm64) arch=aarch64 ;;
    *) fail "there is no larder for $(uname -m)" 3 ;;
esac

if [ -z "$to" ]; then
    if [ -w /usr/local/bin ]; then
        to=/usr/local/bin
    else
        to=${HOME:?install.sh: error: HOME is not set; name a directory with --to}/.local/bin
    fi
fi

# fetch NAME FILE
fetch() {
    case $url in
        http://* | https://*)
            if command -v curl >/dev/null; then
                curl --fail --silent --show-error --location --retry 3 --output "$2" "$url/$1"
            elif command -v wget >/dev/null; then
                wget -q -O "$2" "$url/$1"
            else
                fail 'neither curl nor wget is here; install one of them' 3
            fi
            ;;
        *) cp "${url#file://}/$1" "$2" ;;
    esac || fail "$1 cannot be fetched from $url; name another place with LARDER_URL"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

name=larder-$arch-linux.tar.gz
fetch SHA256SUMS "$work/SHA256SUMS"
fetch "$name" "$work/$name"
(
    cd "$work"
    grep " [ *]\{0,1\}$name\$" SHA256SUMS >expected || fail "SHA256SUMS of $url has no line for $name"
    sha256sum -c expected >/dev/null || fail "$name from $url is not what SHA256SUMS says; nothing was installed"
    tar -xzf "$name" ./larder
)

mkdir -p "$to" || fail "$to cannot be made; name another directory with --to"
# Beside its place, so that a larder that runs now is replaced at once, or not at all.
cp "$work/larder" "$to/.larder.$$" && chmod 755 "$to/.larder.$$" && mv -f "$to/.larder.$$" "$to/larder" || {
    rm -f "$to/.larder.$$"
    fail "$to cannot be written to; name another directory with --to"
}
printf '%s installed in %s\n' "$("$to/larder" version)" "$to"
case :$PATH: in
    *:"$to":*) ;;
    *) printf 'It is not in your PATH yet: export PATH="%s:$PATH"\n' "$to" ;;
esac
