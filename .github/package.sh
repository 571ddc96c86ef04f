#!/usr/bin/env bash
# Builds one static binary, and packages of it in target/packages: stillage-VERSION-TRIPLE.tar.gz, a .deb, SHA256SUMS.
#
#   .github/package.sh            all of them
#   .github/package.sh --binary   only the binary; prints its path
#
# Needs Linux, Rust, a C compiler and the static library of C (Debian: gcc and libc6-dev; Fedora: gcc and glibc-static).
# For the .deb also cargo-deb: cargo install --locked cargo-deb
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    echo ".github/package.sh: $1" >&2
    exit 2
}

only=
case "${1-}" in
    '') ;;
    --binary) only=binary ;;
    -h | --help)
        sed -n '2,/^set/s/^# \{0,1\}//p' .github/package.sh
        exit
        ;;
    *) fail "unknown argument $1; see --help" ;;
esac

[[ $(uname) == Linux ]] || fail "static binaries are built on Linux only"
command -v cargo >/dev/null || fail "cargo is not installed; see the README"
# The compiler prints a name that it does not find as it is.
[[ $(cc -print-file-name=libc.a) == /* ]] || fail "there is no libc.a: on Debian install libc6-dev, on Fedora glibc-static"
[[ $only ]] || cargo deb --version >/dev/null 2>&1 ||
    fail "cargo-deb is not installed: cargo install --locked cargo-deb"

triple=$(rustc -vV | sed -n 's/^host: //p')
built=$(cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/$triple/release
link=()
if [[ $triple == *-gnu ]]; then
    # A static glibc would load the modules that /etc/nsswitch.conf names, as of systemd-resolved, and crash if they are
    # of another version of glibc. Those for files and DNS are in the binary.
    mkdir -p "$built"
    cc -O2 -x c -c - -o "$built/names.o.$$" <<'END'
#include <nss.h>
__attribute__((constructor)) static void names(void) {
    __nss_configure_lookup("hosts", "files dns");
    __nss_configure_lookup("passwd", "files");
}
END
    # Another run may be linking it.
    mv "$built/names.o.$$" "$built/names.o"
    link=(-C "link-arg=$built/names.o")
fi
# With --target, the flags are not those of build scripts and macros, which cannot be static.
RUSTFLAGS="${RUSTFLAGS-} -C target-feature=+crt-static" CARGO_PROFILE_RELEASE_STRIP=symbols \
    cargo rustc --release --locked --bin stillage --target "$triple" -- "${link[@]}" >&2
binary=$built/stillage
if [[ $only ]]; then
    echo "$binary"
    exit
fi

version=$("$binary" --version)
name=stillage-${version#stillage }-$triple
packages=target/packages
tree=$packages/$name
share=$tree/share
rm -rf "$packages"
mkdir -p "$tree/bin" "$share"/{bash-completion/completions,zsh/site-functions,fish/vendor_completions.d}
trap 'rm -rf "$tree" target/packages/tree' EXIT
install -m 755 "$binary" "$tree/bin/stillage"
install -m 644 LICENSE "$tree/LICENSE"
"$binary" completions bash >"$share/bash-completion/completions/stillage"
"$binary" completions zsh >"$share/zsh/site-functions/_stillage"
"$binary" completions fish >"$share/fish/vendor_completions.d/stillage.fish"
"$binary" man -o "$share/man"
gzip -9nr "$share/man"
chmod -R u=rwX,go=rX "$tree"

# The same commit gives the same packages.
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}"
tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -C "$packages" -cf - "$name" |
    gzip -9n >"$packages/$name.tar.gz"
# Cargo.toml names what the .deb has, which has no version in its path there.
ln -s "$name" "$packages/tree"
cargo deb --quiet --locked --no-build --no-strip --target "$triple" --output "$packages"
(cd "$packages" && sha256sum -- *.tar.gz *.deb >SHA256SUMS)
ls -l "$packages"/{*.tar.gz,*.deb,SHA256SUMS}
