# Pages for people: what they cost a build, and how soon they can be used.

bench_pages() {
    need chromium chromium
    need nodejs node
    need npm npm
    [[ -e tests/clients/node_modules/playwright-core ]] || (cd tests/clients && npm ci --ignore-scripts >/dev/null)
    mkdir "$work/sites"
    layout "$work/many" 10000
    # Each run gets a folder of its own, as in the part `many`.
    local number=0
    next() { number=$((number + 1)); }
    with_pages() { next; "$stillage" build -q "$work/many" -o "$work/sites/with$number"; }
    without_pages() { next; "$stillage" build -q --no-pages "$work/many" -o "$work/sites/without$number"; }
    table "with \`--no-pages\`"
    pair "building 10,000 repositories" with_pages without_pages

    "$stillage" build -q "$work/many" -o "$work/sites/many"
    "$stillage" build -q fixtures/oci-layout=app -o "$work/sites/empty"
    "$stillage" remove -q "$work/sites/empty" app
    "$stillage" serve -q "$work/sites/many" --listen 5071 &
    echo $! >"$work/served.pid"
    "$stillage" serve -q "$work/sites/empty" --listen 5072 &
    echo $! >>"$work/served.pid"
    wait_for 5071 && wait_for 5072
    local page large empty found
    echo
    echo "| until a page can be used | ratio | 10,000 repositories | an empty site |"
    echo "|---|---|---|---|"
    for page in "" _pages/_names.html; do
        read -r large empty found < <(node tests/bench/pages.mjs "$(command -v chromium)" "$((3 * runs))" \
            "http://127.0.0.1:5071/$page" http://127.0.0.1:5072/)
        echo "| \`/$page\` | $(ratio "$large" "$empty") | $large ms | $empty ms |"
    done
    echo
    echo "The first search takes $found ms."
    # shellcheck disable=SC2046 # a list of numbers
    kill $(cat "$work/served.pid")
    wait 2>/dev/null || true
    find "$work/sites" -mindepth 1 -maxdepth 1 -print0 | xargs -0 -P8 -n1 rm -rf
    rm -rf "$work"/{many,sites}
}
