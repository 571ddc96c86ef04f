# What an export costs: all of a site, and one new image among many.

bench_export() {
    packed_layout
    "$stillage" build -q --no-v1 "$work/oci" -o "$work/site"
    ours() { "$stillage" export -q "$work/site" -o "$work/ours.tar"; }
    theirs() { tar -C "$work/site" -cf "$work/theirs.tar" blobs; }
    table "\`tar\` of the blobs"
    pair "\`export\` of $(($(bytes "$work/site/blobs") / 1000000)) MB" ours theirs
    rm -rf "$work/site" "$work"/{ours,theirs}.tar

    layout "$work/more" 10000 10
    "$stillage" build -q "$work/more" -o "$work/site"
    cp -r "$work/site" "$work/there"
    cp "$work/site/index.json" "$work/before.json"
    "$stillage" build -q fixtures/docker-1.4.1.tar=new/image -o "$work/site"
    delta() { "$stillage" export -q "$work/site" --since "$work/before.json" -o "$work/delta.tar"; }
    tool() { python3 -m json.tool <"$work/site/index.json"; }
    table "\`python3 -m json.tool\` of its index.json"
    pair "\`export\` of one new image among 100,000 references" delta tool
    # Once whole, since a copy may have names that its catalogue lacks.
    "$stillage" build -q "$work/delta.tar" -o "$work/there"
    again() { "$stillage" build -q "$work/delta.tar" -o "$work/there" --mirror; }
    pair "\`build --mirror\` of it, again" again tool
    rm -rf "$work"/{more,site,there} "$work"/{before.json,delta.tar}
}
