// What a page of another origin reads from registries, in Chromium:  node browser.mjs CHROMIUM URL...
// Prints an array with an object for each URL: what `tags/list` and the manifest of `tiny:1` give, or the error.
import http from 'node:http';
import { chromium } from 'playwright-core';

const [executablePath, ...registries] = process.argv.slice(2);
// Too long for a browser to send it without asking first.
const accept = [
    'application/vnd.oci.image.manifest.v1+json', 'application/vnd.oci.image.index.v1+json',
    'application/vnd.docker.distribution.manifest.v2+json', 'application/vnd.docker.distribution.manifest.list.v2+json',
].join(', ');

const server = http.createServer((_, response) => {
    response.setHeader('Content-Type', 'text/html').end('<!doctype html><title>A registry UI</title>');
}).listen(0, '127.0.0.1');
await new Promise((resolve) => server.once('listening', resolve));
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
const page = await browser.newPage();
await page.goto(`http://127.0.0.1:${server.address().port}/`);
const results = [];
for (const registry of registries) {
    results.push(await page.evaluate(async ({ registry, accept }) => {
        try {
            const list = await (await fetch(`${registry}/v2/tiny/tags/list`)).json();
            const answer = await fetch(`${registry}/v2/tiny/manifests/1`, { headers: { accept } });
            const missing = await fetch(`${registry}/v2/tiny/manifests/none`, { headers: { accept } });
            return {
                tags: list.tags, digest: answer.headers.get('Docker-Content-Digest'), length: (await answer.text()).length,
                missing: missing.status,
            };
        } catch (error) {
            return { error: String(error) };
        }
    }, { registry, accept }));
}
console.log(JSON.stringify(results));
await browser.close();
server.close();
