# nginx with a configuration for 10,000 repositories.

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
    rm -rf "$work"/{many,empty,site,nginx}
}
