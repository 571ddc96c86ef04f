// CloudFront serves a Stillage site out of an S3 bucket as a registry: Docker's v1 API, the v2 (OCI) API and the page
// for people. Nothing here depends on what images the site holds: publishing needs no new version.
//
// A CloudFront Function (runtime cloudfront-js-2.0) for both events of a viewer. What is missing in the bucket gets the
// custom error response; see the README for how to set up the distribution.
EDGE
// Whether the site has v1.
const HAS_V1 = true;

function handler(event) {
    const request = event.request, path = object(request.uri);
    return event.context.eventType === 'viewer-request' ? ask(request, path) : finish(event.response, path);
}

function answer(status, body, more) {
    const isError = status >= 400, control = isError ? 'no-cache' : POINTER, headers = {};
    const all = Object.assign({ 'content-type': 'application/json', 'cache-control': control }, more);
    for (const name in all) headers[name] = { value: all[name] };
    return { statusCode: status, statusDescription: isError ? 'Refused' : 'OK', headers: headers, body: body };
}

function fail(path, error, more) {
    const headers = isV1(path) ? { 'x-docker-registry-version': '0.6.0' } : {};
    return answer(error[0], error[1], Object.assign(headers, more));
}

function ask(request, path) {
    const query = request.querystring, headers = request.headers;
    const isRead = request.method === 'GET' || request.method === 'HEAD';
    if (!isRead) return fail(path, readOnly(path), { allow: 'GET, HEAD' });
    if (path === '/v2' || path === '/v2/') {
        // `docker manifest` of Docker up to 20.10 wants a version. Never send it to the daemons of Docker 1.6 to 1.9
        // (`docker/1.9.1`): its absence is what sends them to v1.
        const wants = !HAS_V1 || /^Docker-Client\//.test(headers['user-agent'] ? headers['user-agent'].value : '');
        return answer(200, '{}', wants ? { 'docker-distribution-api-version': 'registry/2.0' } : {});
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
    if (!content) remove(headers, ['if-none-match', 'if-modified-since', 'range']);
    // S3 knows no If-Range: all of it is right in any case.
    if (headers['if-range']) remove(headers, ['if-range', 'range']);
    return request;
}

function remove(headers, names) {
    names.forEach((name) => { delete headers[name]; });
}

function finish(response, path) {
    const headers = response.headers, content = CONTENT.exec(path);
    const stored = headers['x-amz-meta-docker-content-digest'], digest = content && (content[1] || content[2]);
    remove(headers, Object.keys(headers).filter((name) => /^x-amz-/.test(name)));
    if (/^\/v1\/images\/.+\/layer$/.test(path) && stored) {
        // Where each content is stored once, an empty object says which layer it stands for.
        response.statusCode = 302;
        response.statusDescription = 'Found';
        headers.location = { value: '/blobs/sha256/' + stored.value.slice(7) };
    } else if (digest) {
        headers['docker-content-digest'] = { value: 'sha256:' + digest };
    } else if (stored) {
        headers['docker-content-digest'] = stored;
    }
    headers['cache-control'] = { value: content && response.statusCode !== 302 ? IMMUTABLE : POINTER };
    if (!content) remove(headers, ['etag', 'last-modified', 'accept-ranges']);
    if (isV1(path)) headers['x-docker-registry-version'] = { value: '0.6.0' };
    return response;
}
