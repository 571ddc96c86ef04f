// What CloudFront does, as its documentation has it, in front of a bucket:
//   node cloudfront.mjs FUNCTION ERROR STORE PORT
// FUNCTION runs at both events of a viewer; ERROR is the custom error response for 403 and 404; STORE is the address of
// the bucket. Nothing is cached.
import { readFileSync } from 'node:fs';
import http from 'node:http';
import vm from 'node:vm';

const [functionFile, errorFile, store, port] = process.argv.slice(2);
const script = readFileSync(functionFile, 'utf8'), error = readFileSync(errorFile);
if (script.length > 10240) throw new Error(`a function has at most 10 KB, and this ${script.length} bytes`);

// Headers that a function neither sees nor sets, and those that it may not change ("Restrictions on edge functions").
const DISALLOWED = new RegExp(`^(${[
    'connection', 'expect', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection', 'trailer',
    'upgrade', 'x-accel-.*', 'x-amz-cf-.*', 'x-amzn-.*', 'x-cache', 'x-edge-.*', 'x-forwarded-proto', 'x-real-ip',
].join('|')})$`);
const READ_ONLY = {
    'viewer-request': ['content-length', 'host', 'transfer-encoding', 'via'],
    'viewer-response': ['transfer-encoding', 'via', 'warning'],
};
// What S3 needs to know of a request: of the rest CloudFront passes nothing on by itself.
const FORWARDED = ['if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since', 'if-range', 'range'];

function visible(headers) {
    const pairs = Object.entries(headers).filter(([name]) => !DISALLOWED.test(name));
    return Object.fromEntries(pairs.map(([name, value]) => [name, { value: String(value) }]));
}

function plain(headers) {
    return Object.fromEntries(Object.entries(headers).map(([name, { value }]) => [name, value]));
}

const realm = vm.createContext({});
vm.runInContext(script, realm, { timeout: 1000 });
const handle = new vm.Script('JSON.stringify(handler(JSON.parse(event)))');

// Runs the function, and holds it to the rules.
function run(eventType, event) {
    const context = { distributionDomainName: 'd1.cloudfront.net', distributionId: 'E1', eventType, requestId: '1' };
    const whole = { version: '1.0', context, viewer: { ip: '127.0.0.1' }, ...event };
    realm.event = JSON.stringify(whole);
    const result = JSON.parse(handle.runInContext(realm, { timeout: 1000 }));
    const before = (eventType === 'viewer-request' ? event.request : event.response).headers;
    for (const [name, { value }] of Object.entries(result.headers)) {
        const isLegal = name === name.toLowerCase() && !DISALLOWED.test(name) && typeof value === 'string';
        if (!isLegal) throw new Error(`the header ${name}: ${value}`);
    }
    for (const name of 'statusCode' in result && eventType === 'viewer-request' ? [] : READ_ONLY[eventType]) {
        if (result.headers[name]?.value !== before[name]?.value) throw new Error(`changed ${name}`);
    }
    return result;
}

function reply(response, method, status, headers, body) {
    if (status === 204) return response.writeHead(status, headers).end();
    response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) });
    response.end(method === 'HEAD' ? '' : body);
}

function serve(request, response) {
    const [uri, query] = request.url.split('?'), { method } = request;
    const querystring = Object.fromEntries([...new URLSearchParams(query)].map(([name, value]) => [name, { value }]));
    const seen = { method, uri, querystring, headers: visible(request.headers), cookies: {} };
    const asked = run('viewer-request', { request: seen });
    if (asked.statusCode) return reply(response, method, asked.statusCode, plain(asked.headers), asked.body);
    const headers = plain(asked.headers), forwarded = FORWARDED.filter((name) => name in headers);
    // moto refuses HEAD to those without credentials.
    const options = { method: 'GET', headers: Object.fromEntries(forwarded.map((name) => [name, headers[name]])) };
    http.request(store + asked.uri, options, (stored) => {
        const { statusCode } = stored;
        if (statusCode === 403 || statusCode === 404) {
            stored.resume();
            const headers = { 'content-type': 'application/json', 'cache-control': 'no-cache' };
            return reply(response, method, 404, headers, error);
        }
        let finished = { statusCode, headers: visible(stored.headers) };
        // Functions do not run for errors. Whether the event has the address that the viewer asked for or that of the
        // object is not documented, so both must do.
        if (statusCode < 400) {
            const finish = (uri) => run('viewer-response', { request: { ...asked, uri }, response: finished });
            const [result, other] = [finish(asked.uri), finish(seen.uri)];
            if (JSON.stringify(result) !== JSON.stringify(other)) throw new Error(`not the same for ${seen.uri}`);
            finished = result;
        }
        response.writeHead(finished.statusCode, plain(finished.headers));
        if (method === 'HEAD') return response.end(() => stored.destroy());
        stored.pipe(response);
    }).end();
}

http.createServer((request, response) => {
    try {
        serve(request, response);
    } catch (problem) {
        console.error(request.method, request.url, problem);
        reply(response, request.method, 503, {}, String(problem));
    }
}).listen(Number(port), '127.0.0.1');
