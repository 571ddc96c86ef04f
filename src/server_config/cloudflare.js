// Cloudflare serves a Stillage site out of an R2 bucket as a registry: Docker's v1 API, the v2 (OCI) API and the page
// for people. Nothing here depends on what the site holds: publishing needs no new version.
//
//   1. Bind the bucket to the Worker as BUCKET. Where the site lies below a prefix, set the variable PREFIX to it.
//   2. Deploy it:  npx wrangler deploy
EDGE
export default {
    async fetch(request, env) {
        const url = new URL(request.url), path = object(url.pathname);
        const response = await answer(request, new Site(env), path, url).catch((error) => {
            console.error(error);
            return fail(v1(500, 'Internal error'));
        });
        if (isV1(path)) response.headers.set('X-Docker-Registry-Version', V1_VERSION);
        for (const name in CORS) response.headers.set(name, CORS[name]);
        return request.method === 'HEAD' ? new Response(null, response) : response;
    },
};

class Site {
    constructor({ BUCKET, PREFIX = '' }) {
        this.bucket = BUCKET;
        this.prefix = PREFIX && PREFIX.replace(/^\/+|\/+$/g, '') + '/';
    }
    head(path) { return this.bucket.head(this.prefix + path.slice(1)); }
    get(path, range) { return this.bucket.get(this.prefix + path.slice(1), range ? { range } : {}); }
}

async function answer(request, site, path, url) {
    if (request.method === 'OPTIONS') return new Response(null, { status: 204, headers: PREFLIGHT });
    if (request.method !== 'GET' && request.method !== 'HEAD') return fail(readOnly(path), { Allow: METHODS });
    if (isBare(url.pathname)) return send(301, '', { Location: BELOW + '/' });
    if (path === '/v2' || path === '/v2/') return version(request, site);
    const content = CONTENT.exec(path);
    if (content) return immutable(request, site, path, content[1] || content[2]);
    if (!POINTERS.test(path)) return fail(missing(path));
    const query = url.searchParams, has = (names) => names.some((name) => query.has(name));
    const isPart = path === '/v1/search' ? has(['q', 'n', 'page']) : /^\/v2\/.+\/tags\/list$/.test(path) && has(['n', 'last']);
    const found = await (request.method === 'HEAD' && !isPart ? site.head(path) : site.get(path));
    if (!found && /^\/v2\/.+\/referrers\/[^\/]+$/.test(path)) {
        const index = 'application/vnd.oci.image.index.v1+json';
        return send(200, `{"schemaVersion":2,"mediaType":"${index}","manifests":[]}`, { 'Content-Type': index });
    }
    if (!found) return fail(missing(path));
    if (isPart) return (path === '/v1/search' ? search : page)(await found.json(), url);
    const digest = found.customMetadata['docker-content-digest'];
    const headers = { 'Content-Type': type(found), 'Content-Length': found.size, 'Cache-Control': POINTER };
    if (digest) headers['Docker-Content-Digest'] = digest;
    return new Response(found.body, { headers });
}

function type(found) {
    return found.httpMetadata.contentType || 'application/octet-stream';
}

function send(status, text, headers) {
    const bytes = new TextEncoder().encode(text);
    const standard = { 'Content-Type': 'application/json', 'Content-Length': bytes.length, 'Cache-Control': POINTER };
    return new Response(bytes, { status, headers: { ...standard, ...headers } });
}

// What is missing now may be published next.
function fail([status, body], headers) {
    return send(status, body, { 'Cache-Control': 'no-cache', ...headers });
}

// `docker manifest` of Docker up to 20.10 wants a version. Never send it to the daemons of Docker 1.6 to 1.9
// (`docker/1.9.1`): its absence is what sends them to v1.
async function version(request, site) {
    const wants = /^Docker-Client\//.test(request.headers.get('User-Agent')) || !await site.head('/v1/_ping');
    return send(200, '{}', { Vary: 'User-Agent', ...(wants && { 'Docker-Distribution-Api-Version': 'registry/2.0' }) });
}

// The repositories whose name has the term in it: `n` to a page, 25 by default and at most 100.
function search(list, { searchParams }) {
    const number = (name, text = searchParams.get(name)) => /^\d+$/.test(text) ? Math.max(1, Number(text)) : null;
    const term = searchParams.get('q') || '', size = Math.min(number('n') || 25, 100), page = number('page') || 1;
    const all = list.results.filter(({ name }) => name.includes(term.toLowerCase()));
    return send(200, JSON.stringify({
        num_pages: Math.max(1, Math.ceil(all.length / size)), num_results: all.length, page, page_size: size, query: term,
        results: all.slice(size * (page - 1), size * page),
    }));
}

// The next `n` tags after `last`.
function page(list, { pathname, searchParams: query }) {
    const n = query.has('n') ? query.get('n') : '999999999', last = query.get('last') || '';
    if (!/^\d+$/.test(n)) return fail(v2(400, 'UNSUPPORTED', 'invalid number of results requested'));
    const rest = list.tags.filter((tag) => tag > last), tags = rest.slice(0, n);
    const hasMore = tags.length && rest.length > tags.length;
    const next = `<${pathname}?n=${Number(n)}&last=${tags[tags.length - 1]}>; rel="next"`;
    return send(200, JSON.stringify({ ...list, tags }), hasMore ? { Link: next } : {});
}

// Where the bytes of a path are. Each blob is stored once, for all repositories; so may be a layer of v1: then an empty
// object stands for it.
async function place(site, path, hex) {
    if (/\/blobs\/sha256:[^\/]+$/.test(path)) return '/blobs/sha256/' + hex;
    if (!path.endsWith('/layer')) return path;
    const found = await site.head(path);
    const digest = found && found.size === 0 && found.customMetadata['docker-content-digest'];
    return digest ? '/blobs/sha256/' + digest.slice(7) : path;
}

// What the JSON of a v1 image says of its layer. With the length Docker 1.4 to 1.9 resume an interrupted transfer.
async function describe(site, image, headers) {
    const layer = await site.head(await place(site, image + 'layer')), checksum = await site.get(image + 'checksum');
    if (layer) headers.set('X-Docker-Size', layer.size);
    if (checksum) headers.set('X-Docker-Checksum', (await checksum.text()).trim().replace('sha256:', ''));
}

async function immutable(request, site, path, hex) {
    const ask = (name) => request.headers.get(name), inV2 = path.startsWith('/v2/');
    const isGet = request.method === 'GET', source = await place(site, path, hex), isWhole = isGet && !ask('Range');
    const found = await (isWhole ? site.get(source) : site.head(source));
    if (!found) return fail(missing(path));
    const { size, httpEtag: etag } = found, modified = found.uploaded.toUTCString();
    const headers = new Headers({ 'Content-Type': type(found), 'Cache-Control': IMMUTABLE,
        'Accept-Ranges': 'bytes', ETag: etag, 'Last-Modified': modified });
    if (inV2) headers.set('Docker-Content-Digest', 'sha256:' + hex);
    // ollama asks for parts of a blob where this says.
    if (/^\/v2\/.+\/blobs\//.test(path)) headers.set('Location', './sha256:' + hex);
    if (path.endsWith('/layer')) headers.set('X-Docker-Size', size);
    if (path.endsWith('/json')) await describe(site, path.slice(0, -4), headers);
    const known = ask('If-None-Match'), since = Date.parse(ask('If-Modified-Since'));
    const isKnown = known ? known === '*' || known.includes(etag) : since >= Date.parse(modified);
    if (isKnown) return new Response(null, { status: 304, headers });
    const part = isGet && [null, etag, modified].includes(ask('If-Range')) && range(ask('Range'), size);
    if (part === 'beyond') {
        const error = inV2 ? v2(416, 'UNSUPPORTED', 'no such range') : v1(416, 'No such range');
        return fail(error, { 'Content-Range': `bytes */${size}` });
    }
    headers.set('Content-Length', part ? part.length : size);
    if (part) headers.set('Content-Range', `bytes ${part.offset}-${part.offset + part.length - 1}/${size}`);
    const sent = isWhole || !isGet ? found : await site.get(source, part);
    if (!sent) return fail(missing(path));
    return new Response(sent.body, { status: part ? 206 : 200, headers });
}

// The part that a `Range` asks for; `null` for all, also where it asks for several or for none.
function range(text, size) {
    const [, from, to] = /^bytes=(\d*)-(\d*)$/.exec(text) || [];
    if (!from && !to || from && to && Number(from) > Number(to)) return null;
    const offset = from ? Number(from) : Math.max(0, size - Number(to));
    const end = from && to ? Math.min(Number(to), size - 1) : size - 1;
    return offset < size ? { offset, length: end - offset + 1 } : 'beyond';
}
