#!/usr/bin/env bash
# Benchmarks, side by side in one run; prints a table of ratios for each part. About 20 minutes on two cores.
#
#   tests/bench.sh [PART...]     all parts, or some:
#     build      a docker-archive of 550 MB in plain layers, against skopeo
#     get        an image in gzip layers as an archive, against skopeo
#     export     a site as an archive, against tar; one new image among 100,000 references, there and back
#     zstd       the same archive with zstd, against skopeo
#     lacking    layers that lack folders, against the same with them
#     folder     a folder of docker-archives on one base, against skopeo; unchanged
#     registry   a storage folder of the old registry, against inflating and hashing it; unchanged
#     copy       an OCI layout of 590 MB in gzip layers, against skopeo, and against inflating and hashing it
#     again      nothing new; the same layers in a new archive, against hashing it
#     large      memory for a layer of 10 GiB
#     verify     `verify`, against hashing the same files on all cores
#     nginx      start and memory of nginx with 10,000 repositories, against one with an empty site
#     serve      requests a second of nginx and of `stillage serve`, against docker-registry
#     many       10,000 and 100,000 references: nothing new, one new image, memory, `list`
#     pages      pages for people: what they cost a build; how soon they open, against those of an empty site
#     publish    a site to a bucket of SeaweedFS, against `aws s3 sync` and `rclone sync`, and who pulls from it
#
# Needs Rust, 25 GiB of disk, and root: to install the peers from Debian where they are missing. RUNS=5 is how
# often each side runs, in turn; the median counts. Layers hold files of this machine's /usr.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

runs=${RUNS:-5}
peers=
PATH=$PATH:/usr/sbin
work=$(mktemp -d)
# nginx reads it as another user.
chmod 755 "$work"
trap 'kill $(cat "$work/nginx/nginx.pid" 2>/dev/null) 2>/dev/null || true
    kill $(cat "$work/served.pid" 2>/dev/null) 2>/dev/null || true
    kill -KILL $(cat "$work/store/weed.pid" 2>/dev/null) 2>/dev/null && wait 2>/dev/null || true
    rm -rf "$work"' EXIT
for part in tests/bench/*.sh; do
    # shellcheck source=/dev/null
    source "$part"
done

# Installs a program where it is missing, and names its version once.
need() { # PACKAGE PROGRAM
    if ! command -v "$2" >/dev/null; then
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null
    fi
    [[ $peers == *" $1 "* ]] && return
    peers+=" $1 "
    local version
    version=$(dpkg-query -W -f '${Version}' "$1" 2>/dev/null) || version="of unknown version"
    echo "with $2 $version"
}

# Milliseconds that a command takes.
millis() {
    local from to
    from=$(date +%s%N)
    "$@" >"$work/out" 2>&1 || { cat "$work/out" >&2; return 1; }
    to=$(date +%s%N)
    echo $(((to - from) / 1000000))
}

median() { sort -n | sed -n "$(((runs + 1) / 2))p"; }

ratio() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", b ? a / b : 0 }'; }

# Runs two functions in turn; prints a row with the ratio of their medians: pair WHAT OURS PEER
# A function that is called NAME_before as well is prepared by that, which is not timed.
pair() {
    local run side times=$work/times
    rm -f "$times".*
    for ((run = 0; run <= runs; run++)); do
        for side in "$2" "$3"; do
            if declare -F "${side}_before" >/dev/null; then "${side}_before"; fi
            # Neither side is to wait for what was written or deleted before.
            sync -f "$work"
            # The first run of each warms up the caches.
            if ((run)); then millis "$side" >>"$times.$side"; else millis "$side" >/dev/null; fi
        done
    done
    local ours peer
    ours=$(median <"$times.$2")
    peer=$(median <"$times.$3")
    echo "| $1 | $(ratio "$ours" "$peer") | $ours ms | $peer ms |"
}

table() { # PEER
    echo
    echo "| | ratio | stillage | $1 |"
    echo "|---|---|---|---|"
}

# Peak memory of a command in MiB.
peak() {
    /usr/bin/time -f %M -o "$work/peak" "$@" >"$work/out" 2>&1 || { cat "$work/out" >&2; return 1; }
    echo $(($(cat "$work/peak") / 1024))
}

bytes() { find "$1" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum }'; }

parts=("$@")
((${#parts[@]})) || parts=(build get export zstd lacking folder registry copy again large verify nginx serve many pages publish)
need time time
cargo build --release --locked --quiet
stillage=$(realpath "${CARGO_TARGET_DIR:-target}")/release/stillage
for part in "${parts[@]}"; do
    declare -F "bench_$part" >/dev/null || { echo "tests/bench.sh: unknown part $part" >&2; exit 2; }
    "bench_$part"
done
