# What takes long for many references: the catalogue and the tree.

# An OCI layout of one image under N repositories, 10 to a namespace, T tags each: layout FOLDER N [T]
layout() {
    cp -r fixtures/oci-layout "$1"
    python3 - "$1/index.json" "$2" "${3-1}" <<'PYTHON'
import json, sys
path, repositories, tags = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
index = json.load(open(path))
image = index["manifests"][0]
def entry(n, tag):
    name = f"team{n // 10:05}/app{n % 10}:{tag}"
    return {**image, "annotations": {"org.opencontainers.image.ref.name": name}}
index["manifests"] = [entry(n, tag) for n in range(repositories) for tag in range(1, tags + 1)]
json.dump(index, open(path, "w"))
PYTHON
}

bench_many() {
    mkdir "$work/sites"
    layout "$work/thousand" 1000
    layout "$work/many" 10000
    layout "$work/more" 10000 10

    # Each run gets a folder of its own: ext4 is slow to create files where many were deleted just now.
    local number=0
    next() { number=$((number + 1)); }
    small() { next; "$stillage" build -q "$work/thousand" -o "$work/sites/thousand$number"; }
    large() { next; "$stillage" build -q "$work/many" -o "$work/sites/many$number"; }
    table "1,000 repositories"
    pair "building 10,000 repositories" large small

    "$stillage" build -q "$work/many" -o "$work/sites/many"
    unchanged() { "$stillage" build -q "$work/many" -o "$work/sites/many"; }
    find_all() { find "$work/sites/many" -type f -printf '%s %T@'; }
    table "\`find SITE -type f -printf '%s %T@'\`"
    pair "unchanged OCI layout of 10,000 references" unchanged find_all

    "$stillage" build -q "$work/more" -o "$work/sites/more"
    whole() { next; "$stillage" build -q "$work/more" -o "$work/sites/more$number"; }
    image() { next; "$stillage" build -q "fixtures/docker-1.4.1.tar=new/image$number" -o "$work/sites/more"; }
    table "building that site"
    pair "one new image into a site of 100,000 references" image whole

    list() { "$stillage" list "$work/sites/more"; }
    tool() { python3 -m json.tool <"$work/sites/more/index.json"; }
    table "\`python3 -m json.tool\` of its index.json"
    pair "\`list\` of 100,000 references" list tool

    echo
    echo "Peak memory of building 100,000 references: $(peak "$stillage" build -q "$work/more" -o "$work/sites/last") MiB."
    # Several million files: where a disk is told of each (`discard`), one `rm` waits for it most of the time.
    find "$work/sites" -mindepth 1 -maxdepth 1 -print0 | xargs -0 -P8 -n1 rm -rf
    rm -rf "$work"/{thousand,many,more,sites}
}
