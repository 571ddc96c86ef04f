// How soon a page can be used:  node pages.mjs CHROMIUM RUNS URL OTHER-URL
// Opens each in turn, with nothing cached. Prints the median of the milliseconds from the start of the navigation until
// the page is loaded, drawn, and would answer a click; then those for the search to find something at the first URL.
import { createRequire } from 'node:module';

const require = createRequire(new URL('../clients/', import.meta.url));
const { chromium } = require('playwright-core');
const [executablePath, runs, ...urls] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
const times = urls.map(() => []), searches = [];
for (let run = 0; run <= Number(runs); run++) {
    for (const [number, url] of urls.entries()) {
        const context = await browser.newContext();
        const page = await context.newPage();
        await page.goto(url, { waitUntil: 'load' });
        const time = await page.evaluate(() => new Promise((answer) => {
            requestAnimationFrame(() => setTimeout(() => answer(performance.now())));
        }));
        // The first run warms the browser.
        if (run) times[number].push(time);
        if (run && !number) {
            searches.push(await page.evaluate(() => new Promise((answer) => {
                const query = document.getElementById('query'), from = performance.now();
                const results = document.getElementById('results');
                new MutationObserver(() => requestAnimationFrame(() => answer(performance.now() - from))).observe(results, { childList: true });
                query.value = 'app7';
                query.dispatchEvent(new Event('input'));
            })));
        }
        await context.close();
    }
}
const median = (list) => list.sort((a, b) => a - b)[Math.floor(list.length / 2)].toFixed(0);
console.log([...times, searches].map(median).join(' '));
await browser.close();
