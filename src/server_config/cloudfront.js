// CloudFront serves a Stillage site out of an S3 bucket as a registry: Docker's v1 API, the v2 (OCI) API and the page
// for people. Nothing here depends on what images the site holds: publishing needs no new version.
//
// A CloudFront Function (runtime cloudfront-js-2.0) for both events of a viewer. What is missing in the bucket gets the
// custom error response; see `stillage help edges` for how to set up the distribution.
EDGE
// Whether the site has v1.
const HAS_V1 = true;
// Whether layers of v1 may be empty objects (`publish --layers-once`). They cannot be resumed then.
const LAYERS_ONCE = false;

function handler(event) {
    const request = event.request, path = object(request.uri);
    if (event.context.eventType === 'viewer-request') return ask(request, path);
    // The path may be that of the request or of the object.
    return finish(event.response, /^(\/v2)?\/-$/.test(path) ? request.uri : path);
}

function answer(status, body, more) {
    const isError = status >= 400, control = isError ? 'no-cache' : POINTER;
    const all = Object.assign({ 'content-type': 'application/json', 'cache-control': control }, CORS, more);
    return { statusCode: status, statusDescription: isError ? 'Refused' : 'OK', headers: headersOf(all), body: body };
}

function headersOf(values) {
    const headers = {};
    for (const name in values) headers[name] = { value: values[name] };
    return headers;
}

function versionOf(path) {
    return isV1(path) ? { 'x-docker-registry-version': V1_VERSION } : {};
}

function fail(path, error, more) {
    return answer(error[0], error[1], Object.assign(versionOf(path), more));
}

function preflight(path) {
    const headers = headersOf(Object.assign(versionOf(path), CORS, PREFLIGHT));
    return { statusCode: 204, statusDescription: 'No Content', headers: headers };
}

function ask(request, path) {
    const query = request.querystring, headers = request.headers;
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    if (request.method === 'OPTIONS') return preflight(path);
    if (!isRead) return fail(path, readOnly(path), { allow: METHODS });
    if (isBare(request.uri)) return answer(301, '', { location: BELOW + '/' });
    if (path === '/v2' || path === '/v2/') {
        // `docker manifest` of Docker up to 20.10 wants a version. Never send it to the daemons of Docker 1.6 to 1.9
        // (`docker/1.9.1`): its absence is what sends them to v1.
        const wants = !HAS_V1 || /^Docker-Client\//.test(headers['user-agent'] ? headers['user-agent'].value : '');
        const version = wants ? { 'docker-distribution-api-version': 'registry/2.0' } : {};
        return answer(200, '{}', Object.assign({ vary: 'User-Agent' }, version));
    }
    const content = CONTENT.exec(path);
    if (!content && !POINTERS.test(path)) return fail(path, missing(path));
    // No part of a list can be made here; rather none than the wrong one.
    const isPart = query.last || (query.n && /^0*\d{1,3}$/.test(query.n.value));
    if (isPart && /^\/v2\/.+\/tags\/list$/.test(path)) return fail(path, missing('/v2/'));
    // Each blob is stored once, for all repositories.
    request.uri = /\/blobs\/sha256:[^\/]+$/.test(path) ? '/blobs/sha256/' + content[2] : path;
    request.querystring = {};
    // S3 refuses what clients of v1 send to authenticate themselves.
    delete headers.authorization;
    delete headers['accept-encoding'];
    // S3 has no part of an empty object.
    const isPointer = !content || (LAYERS_ONCE && isLayer(path));
    if (isPointer) remove(headers, ['if-none-match', 'if-modified-since', 'range']);
    // Parts are for GET alone (RFC 9110, 14.2). Of several, and of what is no range, all is sent.
    const isOne = headers.range && /^bytes=(\d+-\d*|-\d+)$/.test(headers.range.value);
    if (request.method === 'HEAD' || !isOne) remove(headers, ['range']);
    // S3 knows no If-Range: all of it is right in any case.
    if (headers['if-range']) remove(headers, ['if-range', 'range']);
    return request;
}

function isLayer(path) {
    return /^\/v1\/images\/.+\/layer$/.test(path);
}

function remove(headers, names) {
    names.forEach((name) => { delete headers[name]; });
}

function finish(response, path) {
    const headers = response.headers, content = CONTENT.exec(path), digest = content && (content[1] || content[2]);
    const stored = headers['x-amz-meta-docker-content-digest'], isElsewhere = stored && isLayer(path);
    remove(headers, Object.keys(headers).filter((name) => /^x-amz-/.test(name)));
    if (isElsewhere) {
        // Where each content is stored once, an empty object says which layer it stands for.
        response.statusCode = 302;
        response.statusDescription = 'Found';
        headers.location = { value: BELOW + '/blobs/sha256/' + stored.value.slice(7) };
    } else if (digest) {
        headers['docker-content-digest'] = { value: 'sha256:' + digest };
        // ollama asks for parts of a blob where this says.
        if (content[1] || /^\/v2\/.+\/blobs\/[^\/]+$/.test(path)) headers.location = { value: BELOW + '/blobs/sha256/' + digest };
    } else if (stored) {
        headers['docker-content-digest'] = stored;
    }
    const isPointer = !content || isElsewhere;
    headers['cache-control'] = { value: isPointer ? POINTER : IMMUTABLE };
    if (isPointer) remove(headers, ['etag', 'last-modified', 'accept-ranges']);
    if (isV1(path)) headers['x-docker-registry-version'] = { value: V1_VERSION };
    return Object.assign(response, { headers: Object.assign(headers, headersOf(CORS)) });
}
