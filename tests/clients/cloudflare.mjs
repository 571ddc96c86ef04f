// Cloudflare's runtime, with an R2 bucket that is filled as `publish --plan` says:
//   node cloudflare.mjs WORKER SITE PLAN PORT
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { Miniflare } from 'miniflare';

const [worker, site, plan, port] = process.argv.slice(2);
const miniflare = new Miniflare({
    modules: true,
    script: readFileSync(worker, 'utf8'),
    compatibilityDate: '2026-04-01',
    r2Buckets: ['BUCKET'],
    host: '127.0.0.1',
    port: 0,
    cf: false,
    telemetry: { enabled: false },
});
const bucket = await miniflare.getR2Bucket('BUCKET');
for (const line of readFileSync(plan, 'utf8').trim().split('\n')) {
    const { operation, key, content_type, cache_control, digest, file, base64 } = JSON.parse(line);
    if (operation !== 'put') throw new Error(`the plan for an empty bucket has ${line}`);
    const bytes = file ? readFileSync(`${site}/${file}`) : Buffer.from(base64, 'base64');
    await bucket.put(key, new Uint8Array(bytes), {
        httpMetadata: { contentType: content_type, cacheControl: cache_control },
        customMetadata: digest ? { 'docker-content-digest': digest } : {},
    });
}

// The runtime lies behind a server, as everywhere: by itself it answers no attempt at TLS, for which Docker waits ten
// seconds, and closes no connection.
const inner = (await miniflare.ready).port;
http.createServer(({ method, url, headers }, response) => {
    const { connection, 'content-length': length, 'transfer-encoding': encoding, ...forwarded } = headers;
    http.request({ host: '127.0.0.1', port: inner, method, path: url, headers: forwarded }, (answer) => {
        const { connection, ...headers } = answer.headers;
        response.writeHead(answer.statusCode, headers);
        answer.pipe(response);
    }).end();
}).listen(Number(port), '127.0.0.1');
