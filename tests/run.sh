#!/usr/bin/env bash
# Installs what the tests need on Debian, where it is missing, and runs every check.
#
#   tests/run.sh          what CI runs
#   tests/run.sh --long   longer loops and the ignored tests as well
#
# Needs Rust with cargo, rustfmt and clippy, and root: to install packages, and because the tests
# start dockerd and containerd.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    echo "tests/run.sh: $1" >&2
    exit 2
}

long=()
case "${1-}" in
    '') ;;
    --long)
        export STILLAGE_LONG=1
        long=(-- --include-ignored)
        ;;
    *) fail "unknown argument $1" ;;
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
need docker.io docker dockerd
need containerd containerd ctr
need docker-registry docker-registry
need openssl openssl
need gcc gcc cc
need util-linux unshare setpriv
need xz-utils xz
need strace strace
need nodejs node
need npm npm
need python3 python3
[[ -e /usr/lib/lighttpd/mod_magnet.so ]] || packages+=(lighttpd-modules-lua)
PATH="/usr/bin:$PATH" python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)

if ((${#packages[@]})); then
    echo "installing ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi

# Clients that Debian lacks. A copy of the list beside what was installed says that it is current.
requirements=tests/clients/requirements.txt
if ! cmp -s "$requirements" tests/.venv/installed; then
    PATH="/usr/bin:$PATH" python3 -m venv --clear tests/.venv
    tests/.venv/bin/python -m pip install --quiet --no-deps -r "$requirements"
    cp "$requirements" tests/.venv/installed
fi
lock=tests/clients/package-lock.json
if ! cmp -s "$lock" tests/clients/node_modules/.installed; then
    (cd tests/clients && npm ci --ignore-scripts)
    cp "$lock" tests/clients/node_modules/.installed
fi

cargo fmt --check
cargo clippy --all-targets --locked -- -D warnings
# Clients wait for disks and sockets more than they compute.
RUST_TEST_THREADS="${RUST_TEST_THREADS:-$((2 * $(nproc)))}" cargo test --locked "${long[@]}"
