// What a site answers: content, which its address identifies and a cache may keep for ever, and pointers (tags, lists),
// which the next publish may change. The last two components of a path in v2 say what it is.
const IMMUTABLE = 'public, max-age=31536000, immutable';
const POINTER = 'public, max-age=60, must-revalidate';
const V1_VERSION = '0.6.0';
const HEX = '[0-9a-f]{64}', NAME = '[a-z0-9][a-z0-9._/-]{0,254}', TAG = '\\w[\\w.-]{0,127}';
const CONTENT = anyOf([
    'blobs/sha256/(' + HEX + ')',
    'v1/images/' + HEX + '/(?:json|ancestry|checksum|layer)',
    'v2/' + NAME + '/(?:blobs|manifests)/sha256:(' + HEX + ')',
]);
const POINTERS = anyOf([
    'index\\.html', '_pages/[a-z0-9._/-]+\\.(?:html|css|js|json|svg)', 'index\\.json', 'oci-layout', 'lookaside/' + NAME + '@sha256=' + HEX + '/signature-\\d+',
    'v1/_ping', 'v1/search', 'v1/repositories/' + NAME + '/(?:images|tags|tags/' + TAG + ')',
    'v2/_catalog', 'v2/' + NAME + '/tags/list', 'v2/' + NAME + '/manifests/' + TAG,
    'v2/' + NAME + '/referrers/(?:(?:sha256|blake3):' + HEX + '|sha512:[0-9a-f]{128})',
]);
function anyOf(paths) {
    return new RegExp('^/(?:' + paths.join('|') + ')$');
}

// The path below which the site is, if any: containerd and mirrors of Docker have it before `/v2/`, podman and CRI-O in
// names.
const BELOW = '';
function inside(path) {
    if (!BELOW || /^\/v2\/?$/.test(path)) return path;
    if (path.startsWith(BELOW + '/')) return path.slice(BELOW.length);
    if (path.startsWith('/v2' + BELOW + '/')) return '/v2' + path.slice(3 + BELOW.length);
    return /^\/v2\//.test(path) ? '/v2/-' : '/-';
}

// The addresses in pages are relative to the folder of the site.
function isBare(path) {
    return BELOW !== '' && path === BELOW;
}

// The path of the object that answers a path, which may be escaped.
function object(path) {
    try { path = inside(decodeURIComponent(path).replace(/\/+/g, '/')); } catch (invalid) { return '/.'; }
    return path === '/' ? '/index.html' : path.replace(/^(\/v1\/repositories\/.+\/tags)\/$/, '$1');
}

// Pages of other origins, as of a registry UI, may read the site: there is no login that they could misuse.
const METHODS = 'GET, HEAD, OPTIONS';
const CORS = {
    'access-control-allow-origin': '*',
    'access-control-expose-headers': 'Docker-Content-Digest, Link',
};
const PREFLIGHT = {
    allow: METHODS,
    'access-control-allow-methods': METHODS,
    'access-control-allow-headers': 'Authorization, *',
    'access-control-max-age': '86400',
};

// An error as its API words it: status, and body.
function v1(status, message) {
    return [status, '{"error": "' + message + '"}'];
}
function v2(status, code, message) {
    return [status, '{"errors":[{"code":"' + code + '","message":"' + message + '","detail":null}]}'];
}

function missing(path) {
    if (/\/\.\.\//.test(path)) return v1(404, 'Not found');
    if (/^\/v1\/images\//.test(path)) return v1(404, 'Image not found');
    if (/^\/v1\/repositories\/.+\/tags\/[^\/]+$/.test(path)) return v1(404, 'Tag not found');
    if (/^\/v1\/repositories\//.test(path)) return v1(404, 'Repository not found');
    if (/^\/v2\/.+\/manifests\/[^\/]+$/.test(path)) return v2(404, 'MANIFEST_UNKNOWN', 'manifest unknown');
    if (/^\/v2\/.+\/blobs\/[^\/]+$/.test(path)) return v2(404, 'BLOB_UNKNOWN', 'blob unknown to registry');
    if (/^\/v2\/.+\/referrers\/[^\/]+$/.test(path)) return v2(400, 'DIGEST_INVALID', 'invalid digest');
    if (/^\/v2(\/|$)/.test(path)) return v2(404, 'NAME_UNKNOWN', 'repository name not known to registry');
    return v1(404, 'Not found');
}

function readOnly(path) {
    if (isV1(path)) return v1(405, 'This registry is read-only');
    return v2(405, 'UNSUPPORTED', 'this registry is read-only');
}

// Docker up to 0.9 takes a server whose answers lack a version for no registry.
function isV1(path) {
    return /^\/v1(\/|$)/.test(path);
}
