# What takes long for one image: its layers.

# A docker-archive, once for all parts: archive NAME LAYERS MEBIBYTES [SALT [implied]]
archive() {
    [[ -e $work/$1 ]] || python3 tests/bench/archive.py "$work/$1" "${@:2}"
}

# An OCI layout of 710 MB in gzip layers.
packed_layout() {
    need skopeo skopeo
    [[ -e $work/oci ]] && return
    archive big.tar 8 1300
    skopeo copy -q "docker-archive:$work/big.tar" "oci:$work/oci:bench/files:1"
    rm "$work/big.tar"
}

# The site in $work/site, built once more from a source that has not changed: unchanged WHAT SOURCE
unchanged() {
    local source=$2
    # What changed within the last two seconds is not trusted.
    sleep 3
    "$stillage" build -q "$source" -o "$work/site"
    again() { "$stillage" build -q "$source" -o "$work/site"; }
    first_before() { rm -rf "$work/first"; }
    first() { "$stillage" build -q "$source" -o "$work/first"; }
    table "its first build"
    pair "$1" again first
    rm -rf "$work/first"
}

bench_build() {
    need skopeo skopeo
    archive one.tar 4 420
    ours_before() { rm -rf "$work/site"; }
    ours() { "$stillage" build -q "$work/one.tar" -o "$work/site"; }
    theirs_before() { rm -rf "$work/layout"; }
    theirs() { skopeo copy -q "docker-archive:$work/one.tar" "oci:$work/layout:1"; }
    table "skopeo to \`oci:\`"
    pair "docker-archive, $(($(stat -c %s "$work/one.tar") / 1000000)) MB in plain layers" ours theirs
    local made peers
    made=$(bytes "$work/site/blobs") peers=$(bytes "$work/layout/blobs")
    echo "| its blobs | $(ratio "$made" "$peers") | $((made / 1000000)) MB | $((peers / 1000000)) MB |"
}

bench_get() {
    packed_layout
    "$stillage" build -q --no-v1 "$work/oci" -o "$work/site"
    ours() { "$stillage" get "$work/site" bench/files:1 >"$work/ours.tar"; }
    theirs_before() { rm -f "$work/theirs.tar"; }
    theirs() { skopeo copy -q "oci:$work/oci:bench/files:1" "docker-archive:$work/theirs.tar:bench/files:1"; }
    table "skopeo copy oci: docker-archive:"
    pair "\`get\` of $(($(bytes "$work/site/blobs") / 1000000)) MB in gzip layers" ours theirs
    rm -rf "$work/site" "$work"/{ours,theirs}.tar
}

bench_zstd() {
    need skopeo skopeo
    archive one.tar 4 420
    ours_before() { rm -rf "$work/site"; }
    ours() { "$stillage" build -q --no-v1 --compress zstd "$work/one.tar" -o "$work/site"; }
    theirs_before() { rm -rf "$work/layout"; }
    theirs() { skopeo copy -q --dest-compress-format zstd "docker-archive:$work/one.tar" "oci:$work/layout:1"; }
    table "skopeo to \`oci:\` with \`--dest-compress-format zstd\`"
    pair "docker-archive of $(($(stat -c %s "$work/one.tar") / 1000000)) MB, \`--compress zstd --no-v1\`" ours theirs
    local made peers
    made=$(bytes "$work/site/blobs") peers=$(bytes "$work/layout/blobs")
    echo "| its blobs | $(ratio "$made" "$peers") | $((made / 1000000)) MB | $((peers / 1000000)) MB |"
    rm -rf "$work/site" "$work/layout"
}

# Layers that v1 clients get with the folders that they imply, against the same with all folders.
bench_lacking() {
    need skopeo skopeo
    local layers size what
    ours_before() { rm -rf "$work/site"; }
    ours() { "$stillage" build -q "$work/implied$what" -o "$work/site"; }
    theirs_before() { rm -rf "$work/site"; }
    theirs() { "$stillage" build -q "$work/whole$what" -o "$work/site"; }
    table "the same with all folders"
    for layers in 2 40; do
        archive whole.tar "$layers" 260
        archive implied.tar "$layers" 260 1 implied
        size=$(($(stat -c %s "$work/whole.tar") / 1000000))
        what=.tar
        pair "docker-archive of $size MB, $layers layers that imply folders" ours theirs
        what=.oci
        skopeo copy -q "docker-archive:$work/whole.tar" "oci:$work/whole.oci:bench/files:1"
        skopeo copy -q "docker-archive:$work/implied.tar" "oci:$work/implied.oci:bench/files:1"
        pair "as OCI layout of $(($(bytes "$work/whole.oci") / 1000000)) MB" ours theirs
        rm -rf "$work"/{whole,implied}.{tar,oci}
    done
    rm -rf "$work/site"
}

# Archives on one base, as a CI job saves them side by side.
bench_folder() {
    need skopeo skopeo
    mkdir "$work/folder"
    local layers
    for layers in 2 3 4 5; do
        archive "folder/app$layers.tar" "$layers" 230
    done
    ours_before() { rm -rf "$work/site"; }
    ours() { "$stillage" build -q "$work/folder" -o "$work/site"; }
    theirs_before() { rm -rf "$work/layout"; }
    theirs() {
        local layers
        for layers in 2 3 4 5; do
            skopeo copy -q "docker-archive:$work/folder/app$layers.tar" "oci:$work/layout:app$layers"
        done
    }
    table "skopeo to one \`oci:\`, one after the other"
    pair "4 docker-archives of $(($(bytes "$work/folder") / 1000000)) MB on one base" ours theirs
    unchanged "the unchanged folder" "$work/folder"
    rm -rf "$work"/{folder,site,layout}
}

# The storage folder of the old registry.
bench_registry() {
    cargo build --release --locked --quiet --example inflate
    archive one.tar 4 420
    python3 tests/bench/registry_v1.py "$work/one.tar" "$work/storage"
    ours_before() { rm -rf "$work/site"; }
    ours() { "$stillage" build -q "$work/storage" -o "$work/site"; }
    inflate() { "${CARGO_TARGET_DIR:-target}"/release/examples/inflate "$work"/storage/images/*/layer; }
    table "inflating and hashing on all cores"
    pair "\`registry-v1:\` of $(($(bytes "$work/storage") / 1000000)) MB" ours inflate
    unchanged "the unchanged storage" "$work/storage"
    rm -rf "$work"/{storage,site}
}

bench_copy() {
    packed_layout
    cargo build --release --locked --quiet --example inflate
    ours_before() { rm -rf "$work/site"; }
    ours() { "$stillage" build -q --no-v1 "$work/oci" -o "$work/site"; }
    theirs_before() { rm -rf "$work/dir"; }
    theirs() { skopeo copy -q "oci:$work/oci:bench/files:1" "dir:$work/dir"; }
    with_v1_before() { rm -rf "$work/site"; }
    with_v1() { "$stillage" build -q "$work/oci" -o "$work/site"; }
    inflate() { "${CARGO_TARGET_DIR:-target}"/release/examples/inflate "$work"/oci/blobs/sha256/*; }
    local size=$(($(bytes "$work/oci/blobs") / 1000000))
    table "skopeo to \`dir:\`"
    pair "OCI layout, $size MB in gzip layers, \`--no-v1\`" ours theirs
    table "inflating and hashing on all cores"
    pair "the same, with v1" with_v1 inflate
    rm -rf "$work/dir" "$work/site"
}

bench_again() {
    need openssl openssl
    archive one.tar 4 420
    rm -rf "$work/site"
    "$stillage" build -q "$work/one.tar" -o "$work/site"
    # Another image on the same layers, as a CI job saves it; each run gets one of its own.
    anew_before() { rm -f "$work/new.tar"; archive new.tar 4 420 "$RANDOM$RANDOM"; }
    anew() { "$stillage" build -q "$work/new.tar" -o "$work/site"; }
    hash() { openssl dgst -sha256 "$work/new.tar"; }
    unchanged "unchanged docker-archive" "$work/one.tar"
    table "\`openssl dgst -sha256\` of it"
    pair "another docker-archive with the same layers" anew hash
    rm -rf "$work/site" "$work/new.tar"
}

bench_large() {
    # One file of zeros; it takes no room on the disk.
    python3 - "$work/large.tar" <<'PYTHON'
import hashlib, io, json, sys, tarfile
size = 10 << 30
entry = tarfile.TarInfo("zeros")
entry.size = size
head = entry.tobuf()
digest = hashlib.sha256(head)
for _ in range(size >> 20):
    digest.update(bytes(1 << 20))
digest.update(bytes(1024))
config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": ["sha256:" + digest.hexdigest()]}}
members = {"config.json": config, "manifest.json": [{"Config": "config.json", "RepoTags": ["large:1"], "Layers": ["layer.tar"]}]}
with open(sys.argv[1], "wb") as file:
    layer = tarfile.TarInfo("layer.tar")
    layer.size = len(head) + size + 1024
    file.write(layer.tobuf() + head)
    file.seek(size + 1024, io.SEEK_CUR)
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, value in members.items():
            body = json.dumps(value).encode()
            entry = tarfile.TarInfo(name)
            entry.size = len(body)
            tar.addfile(entry, io.BytesIO(body))
PYTHON
    echo
    echo "| a layer of 10 GiB | peak memory |"
    echo "|---|---|"
    local jobs
    for jobs in 1 2 8; do
        rm -rf "$work/site"
        echo "| \`--jobs $jobs\` | $(peak "$stillage" build -q --jobs "$jobs" "$work/large.tar" -o "$work/site") MiB |"
    done
    rm -rf "$work/large.tar" "$work/site"
}

bench_verify() {
    need openssl openssl
    packed_layout
    rm -rf "$work/site"
    "$stillage" build -q "$work/oci" -o "$work/site"
    check() { "$stillage" verify "$work/site"; }
    hash_all() { find "$work/site/blobs" -type f -print0 | xargs -0 -n1 -P"$(nproc)" openssl dgst -sha256; }
    table "\`openssl dgst -sha256\` on all cores"
    pair "\`verify\`, $(($(bytes "$work/site/blobs") / 1000000)) MB" check hash_all
    rm -rf "$work/site"
}
