# Servers of one image: a site by nginx and by `stillage serve`, against docker-registry.

# Requests a second of one address: rate PORT PATH
rate() {
    wrk -d2s -H "Accept: application/vnd.oci.image.manifest.v1+json" "http://127.0.0.1:$1$2" >"$work/wrk"
    if grep -q "Non-2xx" "$work/wrk"; then cat "$work/wrk" >&2; return 1; fi
    awk '/^Requests\/sec/ { print $2 }' "$work/wrk"
}

wait_for() { # PORT
    local try
    for ((try = 0; try < 100; try++)); do
        (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null && return
        sleep 0.1
    done
    return 1
}

# What a JSON file of a layout says: described LAYOUT FILE KEY...
described() {
    python3 -c 'import functools, json, sys
value = json.load(open(sys.argv[1]))
print(functools.reduce(lambda at, key: at[int(key) if key.isdigit() else key], sys.argv[2:], value))' \
        "$work/$1/$2" "${@:3}"
}

# What there is to measure of the largest blob of a layout, its layer.
largest() {
    find "$work/$1/blobs/sha256" -type f -printf '%s %f\n' | sort -n | tail -1 |
        awk -v name="$1" '{ printf "layer of %.1f MB:%s/blobs/sha256:%s", $1 / 1e6, name, $2 }'
}

bench_serve() {
    need nginx-light nginx
    need docker-registry docker-registry
    need skopeo skopeo
    need wrk wrk
    need iproute2 ip
    # Two layers of about 28 and 9 MB.
    archive served.tar 1 60
    archive small.tar 1 3
    local name
    for name in served small; do
        skopeo copy -q "docker-archive:$work/$name.tar" "oci:$work/$name:bench/$name:1"
    done
    "$stillage" build -q "$work/served" "$work/small" -o "$work/site"
    export work stillage runs
    unshare --net bash -euo pipefail -c "$(declare -f); measure_servers"
    rm -rf "$work"/{site,registry,nginx}
}

# In a network of its own, which has nothing but a loopback: there congestion control can be what it is on Linux
# if nobody changed it. BBR, which some machines have, sends at a pace that is made for networks: on a loopback
# that counts more than the server. Where the kernel does not let a namespace choose, it stays as it is.
measure_servers() {
    ip link set lo up
    local congestion=/proc/sys/net/ipv4/tcp_congestion_control
    (echo cubic >$congestion) 2>/dev/null || true
    echo "with congestion control by $(cat $congestion)"
    mkdir "$work/nginx" "$work/registry"
    "$stillage" config nginx "$work/site" --listen 127.0.0.1:5981 -o "$work/nginx/conf" 2>/dev/null
    trap 'kill $(jobs -p); wait || true' EXIT
    nginx -p "$work/nginx" -c conf -e "$work/nginx/err" -g "daemon off;" &
    "$stillage" serve -q "$work/site" --listen 127.0.0.1:5982 &
    cat >"$work/registry.yml" <<YAML
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: '127.0.0.1:5983'}
YAML
    docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
    local name digest config what run port
    for port in 5981 5982 5983; do wait_for $port; done
    for name in served small; do
        skopeo copy -q --dest-tls-verify=false "oci:$work/$name:bench/$name:1" "docker://127.0.0.1:5983/bench/$name:1"
    done
    digest=$(described small index.json manifests 0 digest)
    config=$(described small "blobs/sha256/${digest#sha256:}" config digest)
    echo
    echo "| requests a second, ratio to docker-registry | nginx | \`stillage serve\` |"
    echo "|---|---|---|"
    for what in "manifest by tag:small/manifests/1" "manifest by digest:small/manifests/$digest" \
        "config:small/blobs/$config" "$(largest small)" "$(largest served)"; do
        rm -f "$work"/rates.*
        for ((run = 0; run < runs; run++)); do
            for port in 5981 5982 5983; do
                rate $port "/v2/bench/${what#*:}" >>"$work/rates.$port"
            done
        done
        local -A rates=()
        for port in 5981 5982 5983; do rates[$port]=$(median <"$work/rates.$port"); done
        echo "| ${what%%:*} | $(ratio "${rates[5981]}" "${rates[5983]}") | $(ratio "${rates[5982]}" "${rates[5983]}") |"
    done
}
