// Pages for people in Chromium:  node pages.mjs CHROMIUM FOLDER URL PATH...
// Uses the site at URL as people do. Checks the pages at PATH with axe-core and leaves their pictures in FOLDER. Prints an
// object of what it has seen.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const [executablePath, folder, site, ...paths] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const origin = new URL(site).origin;
// A name without TLS, for which a browser has no clipboard.
const plain = site.replace('127.0.0.1', 'registry.test');
const browser = await chromium.launch({
    executablePath, args: ['--no-sandbox', '--disable-gpu', '--host-resolver-rules=MAP registry.test 127.0.0.1'],
});
const seen = { problems: [], violations: [], wide: [] };

async function open(options, use) {
    const context = await browser.newContext(options);
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    page.on('console', (message) => message.type() === 'error' && seen.problems.push(message.text()));
    page.on('pageerror', (error) => seen.problems.push(String(error)));
    page.on('dialog', (dialog) => { seen.problems.push(`dialog ${dialog.message()}`); dialog.dismiss(); });
    page.on('request', (request) => {
        const from = new URL(request.url()).origin;
        if (from !== origin && from !== new URL(plain).origin) seen.problems.push(`request ${request.url()}`);
    });
    const result = await use(page);
    await context.close();
    return result;
}

const texts = (page, selector) => page.locator(selector).filter({ visible: true }).allTextContents();
const names = (page) => texts(page, '.repositories li > :first-child');

await open({ permissions: ['clipboard-read', 'clipboard-write'] }, async (page) => {
    const clipboard = () => page.evaluate(() => navigator.clipboard.readText());
    const copied = async (text) => {
        await page.locator('#said', { hasText: text }).waitFor();
        return clipboard();
    };
    await page.goto(site);
    seen.title = await page.title();
    seen.names = await names(page);
    seen.namespaces = await texts(page, 'h2');
    await page.getByRole('link', { name: 'date', exact: true }).click();
    await page.waitForURL('**/_pages/_newest.html');
    seen.newest = await names(page);
    await page.keyboard.press('/');
    seen.focused = await page.evaluate(() => document.activeElement.id);
    await page.keyboard.type('CHILD');
    await page.locator('#results a').first().waitFor();
    seen.found = { links: await texts(page, '#results a'), count: await page.locator('#found').textContent() };
    await page.keyboard.press('Escape');
    await page.locator('#results').waitFor({ state: 'hidden' });
    await page.keyboard.type('nothing has this name');
    await page.locator('#found', { hasText: '0 found' }).waitFor();
    await page.keyboard.press('Escape');
    await page.keyboard.type('sample versions');
    await page.locator('#results a').first().waitFor();
    await page.keyboard.press('Enter');
    await page.waitForURL('**/_pages/sample/versions/index.html');
    seen.by_version = await texts(page, '.tags b:first-child');
    await page.locator('#by-version').focus();
    await page.keyboard.press('ArrowRight');
    seen.by_date = await texts(page, '.tags b:first-child');
    await page.getByRole('button', { name: 'Copy for podman', exact: true }).click();
    seen.podman = await copied('podman');
    await page.getByRole('button', { name: /Copy for podman.*: 0\.9/ }).filter({ visible: true }).click();
    seen.tag = await copied('0.9');
    await page.locator('.tags a').filter({ visible: true }).first().click();
    await page.waitForURL(/[0-9a-f]{64}\.html$/);
    await page.getByRole('button', { name: 'Copy for docker', exact: true }).click();
    seen.digest = await copied('docker');
    await page.locator('#tags', { hasNotText: 'see' }).waitFor();
    seen.tags = await page.locator('#tags').textContent();
});

await open({}, async (page) => {
    await page.goto(plain + '_pages/sample/versions/index.html');
    await page.getByRole('button', { name: 'Copy for skopeo', exact: true }).click();
    await page.locator('#said', { hasText: 'skopeo' }).waitFor();
    await page.locator('#query').focus();
    await page.keyboard.press('Control+V');
    seen.pasted = await page.locator('#query').inputValue();
});

await open({ javaScriptEnabled: false }, async (page) => {
    await page.goto(site);
    seen.without_script = { names: await names(page), search: await page.locator('#query').isVisible() };
    await page.getByRole('link', { name: 'date', exact: true }).click();
    seen.without_script.newest = await names(page);
    await page.getByRole('link', { name: 'sample/versions' }).click();
    await page.locator('label', { hasText: 'date' }).click();
    seen.without_script.by_date = await texts(page, '.tags b:first-child');
    seen.without_script.buttons = await page.getByRole('button').filter({ visible: true }).count();
    seen.without_script.command = (await texts(page, '.commands code'))[0];
    await page.locator('.tags a').filter({ visible: true }).first().click();
    seen.without_script.layers = await page.locator('.layers li').count();
});

const views = {
    light: { viewport: { width: 1100, height: 900 } },
    dark: { viewport: { width: 1100, height: 900 }, colorScheme: 'dark' },
    phone: { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true },
};
seen.backgrounds = {};
for (const [view, options] of Object.entries(views)) {
    await open(options, async (page) => {
        for (const [number, path] of paths.entries()) {
            await page.goto(site + path);
            const state = await page.evaluate(() => ({
                width: document.documentElement.scrollWidth - innerWidth,
                background: getComputedStyle(document.body).backgroundColor,
                injected: typeof window.injected,
                elements: document.querySelectorAll('script:not([src]), img:not(header img), iframe, object, [style], [onclick], [onerror]').length,
                links: [...document.links].filter(({ protocol }) => !/^https?:$/.test(protocol)).map(({ href }) => href),
            }));
            await page.screenshot({ path: `${folder}/${number}-${view}.png`, fullPage: true });
            await page.evaluate(axe);
            const { violations } = await page.evaluate(() => axe.run());
            for (const { id, nodes } of violations) seen.violations.push(`${view} ${path}: ${id}: ${nodes[0].html}`);
            if (state.width > 0) seen.wide.push(`${view} ${path}: ${state.width}`);
            if (state.injected !== 'undefined' || state.elements || state.links.length) seen.problems.push(`${path}: ${JSON.stringify(state)}`);
            seen.backgrounds[view] = state.background;
        }
    });
}
console.log(JSON.stringify(seen));
await browser.close();
