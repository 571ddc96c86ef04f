#!/usr/bin/env bash
# Benchmarks, side by side in one run; prints a table of ratios for each part.
#
#   tests/bench.sh [PART...]     all parts, or some:
#     nginx      start and memory of nginx with 10,000 repositories, against one with an empty site
#
# Needs Rust, and root: to install the peers from Debian where they are missing. RUNS=5 is how often
# each side runs, in turn; the median counts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

runs=${RUNS:-5}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

need() { # PACKAGE PROGRAM
    PATH="$PATH:/usr/sbin" command -v "$2" >/dev/null && return
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null
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

# An OCI layout of one image under N repositories, 10 to a namespace: layout FOLDER N
layout() {
    cp -r fixtures/oci-layout "$1"
    python3 - "$1/index.json" "$2" <<'PYTHON'
import json, sys
path, count = sys.argv[1], int(sys.argv[2])
index = json.load(open(path))
image = index["manifests"][0]
def entry(n):
    name = f"team{n // 10:05}/app{n % 10}:1"
    return {**image, "annotations": {"org.opencontainers.image.ref.name": name}}
index["manifests"] = [entry(n) for n in range(count)]
json.dump(index, open(path, "w"))
PYTHON
}

# Starts nginx and ends it again; prints milliseconds until it serves, and KiB that its processes hold.
nginx_once() { # CONFIG
    local dir=$work/nginx pid
    rm -rf "$dir"
    mkdir "$dir"
    millis nginx -p "$dir" -c "$1" -e "$dir/err" >"$dir/time"
    pid=$(cat "$dir/nginx.pid")
    cat /proc/"$pid"/smaps_rollup $(pgrep -P "$pid" | sed 's|.*|/proc/&/smaps_rollup|') |
        awk '/^Pss:/ { sum += $2 } END { print sum }' >"$dir/memory"
    kill "$pid"
    while kill -0 "$pid" 2>/dev/null; do sleep 0.01; done
    echo "$(cat "$dir/time") $(cat "$dir/memory")"
}

bench_nginx() {
    need nginx-light nginx
    layout "$work/many" 10000
    $stillage build -q fixtures/docker-20.10.tar -o "$work/empty" --only sample/child
    $stillage build -q "$work/many" -o "$work/site"
    local run variant side config
    for variant in nginx "nginx --exact"; do
        for side in empty site; do
            config="$work/${variant// /}-$side.conf"
            $stillage config $variant "$work/$side" --listen 127.0.0.1:5987 -o "$config" 2>/dev/null
        done
        for ((run = 0; run < runs; run++)); do
            for side in empty site; do
                nginx_once "$work/${variant// /}-$side.conf" >>"$work/${variant// /}-$side.times"
            done
        done
    done
    echo "| 10,000 repositories | start, ratio to an empty site | memory, ratio to an empty site |"
    echo "|---|---|---|"
    for variant in nginx "nginx --exact"; do
        local -A value=()
        for side in empty site; do
            value[$side-time]=$(cut -d' ' -f1 "$work/${variant// /}-$side.times" | median)
            value[$side-memory]=$(cut -d' ' -f2 "$work/${variant// /}-$side.times" | median)
        done
        echo "| $variant | $(ratio "${value[site-time]}" "${value[empty-time]}") (${value[site-time]} ms) |" \
            "$(ratio "${value[site-memory]}" "${value[empty-memory]}") (${value[site-memory]} KiB) |"
    done
}

parts=("$@")
((${#parts[@]})) || parts=(nginx)
cargo build --release --locked --quiet
stillage=$PWD/target/release/stillage
PATH=$PATH:/usr/sbin
for part in "${parts[@]}"; do
    declare -F "bench_$part" >/dev/null || { echo "tests/bench.sh: unknown part $part" >&2; exit 2; }
    "bench_$part"
done
