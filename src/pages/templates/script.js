// The search, the buttons that copy, and the name of this host in commands. Without it, all else works.
'use strict';
const root = new URL(document.body.dataset.root || './', location.href);
const all = (selector) => document.querySelectorAll(selector);

if (location.host) {
    const host = location.host + root.pathname.replace(/\/$/, '');
    for (const place of all('.host')) place.textContent = host;
}
if (location.protocol === 'http:') {
    for (const place of all('[data-http]')) place.textContent = place.dataset.http;
}

// Browsers have a clipboard for pages with TLS alone.
async function copy(text) {
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    const area = document.body.appendChild(document.createElement('textarea'));
    area.value = text;
    area.select();
    document.execCommand('copy');
    area.remove();
}

// The buttons of tags copy the command of the client that was copied last.
let client = 'docker';
for (const button of all('[data-copy], [data-reference]')) {
    button.hidden = !document.getElementById(client);
    button.addEventListener('click', async () => {
        const { copy: chosen, reference } = button.dataset;
        if (chosen) client = chosen;
        const command = document.getElementById(client).cloneNode(true);
        if (reference) command.querySelector('.reference').textContent = reference;
        await copy(command.textContent);
        button.focus();
        document.getElementById('copied').textContent = 'Copied: ' + command.textContent;
    });
}

const search = document.querySelector('search'), query = document.getElementById('query');
const results = document.getElementById('results'), found = document.getElementById('found');
const SHOWN = 50;
let repositories;
search.hidden = false;

function load() {
    repositories ||= fetch(new URL('_pages/_search.json', root)).then((answer) => answer.json()).then((all) => all.repositories);
    return repositories.catch(() => { repositories = null; throw new Error('The list of repositories cannot be read.'); });
}

function result({ name, tags, updated, description }) {
    const item = document.createElement('li'), link = item.appendChild(document.createElement('a'));
    link.href = new URL('_pages/' + name + '/index.html', root);
    link.textContent = name;
    const facts = [tags + (tags === 1 ? ' tag' : ' tags'), updated && updated.slice(0, 10), description];
    item.append(' ' + facts.filter(Boolean).join(' · '));
    return item;
}

query.addEventListener('focus', () => load().catch(() => {}));
query.addEventListener('input', async () => {
    const text = query.value, words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const has = (text) => words.every((word) => text.toLowerCase().includes(word));
    try {
        const known = await load();
        if (text !== query.value) return;
        const named = known.filter(({ name }) => has(name));
        const described = known.filter(({ name, description }) => !has(name) && has(name + ' ' + (description || '')));
        const matches = words.length ? named.concat(described) : [];
        results.replaceChildren(...matches.slice(0, SHOWN).map(result));
        found.textContent = words.length ? matches.length + ' found' + (matches.length > SHOWN ? ', ' + SHOWN + ' shown' : '') : '';
    } catch (error) {
        found.textContent = error.message;
    }
    results.hidden = !results.firstChild;
});
document.addEventListener('keydown', (event) => {
    if (event.key === '/' && document.activeElement !== query) query.focus();
    else if (event.key === 'Escape' && query.value) query.value = '', query.dispatchEvent(new Event('input'));
    else if (event.key === 'Enter' && document.activeElement === query && results.firstChild) results.querySelector('a').click();
    else return;
    event.preventDefault();
});
