// The search: one list of all repositories, which is loaded when somebody begins to search.
'use strict';
const search = document.querySelector('search'), query = one('query'), results = one('results'), found = one('found');
const SHOWN = 50;
let repositories;
search.hidden = !host;

function load() {
    repositories ||= fetch(new URL('_pages/_search.json', root)).then((answer) => answer.json()).then((all) => all.repositories);
    return repositories.catch(() => { repositories = null; throw new Error('The list of repositories cannot be read.'); });
}

function result({ name, tags, updated, description, has_page }) {
    const item = document.createElement('li'), link = document.createElement(has_page === false ? 'b' : 'a');
    if (has_page !== false) link.href = new URL('_pages/' + name + '/index.html', root);
    link.textContent = name;
    const facts = [tags + (tags === 1 ? ' tag' : ' tags'), updated && updated.slice(0, 10), description];
    item.append(link, ' ' + facts.filter(Boolean).join(' · '));
    return item;
}

async function show() {
    const text = query.value;
    // A pasted reference means its repository.
    const words = text.toLowerCase().split(/\s+/).map((word) => word.replace(host + '/', '').replace(/^library\//, '').replace(/[:@].*/, ''));
    const has = (text) => words.every((word) => text.toLowerCase().includes(word));
    const rank = ({ name }) => name === words[0] ? 0 : name.endsWith('/' + words[0]) ? 1 : has(name) ? 2 : 3;
    try {
        const known = text.trim() ? await load() : [];
        if (text !== query.value) return;
        const matches = known.filter(({ name, description }) => has(name + ' ' + (description || '')));
        matches.sort((a, b) => rank(a) - rank(b));
        results.replaceChildren(...matches.slice(0, SHOWN).map(result));
        found.textContent = text.trim() && matches.length + ' found' + (matches.length > SHOWN ? ', ' + SHOWN + ' shown' : '');
    } catch (error) {
        found.textContent = error.message;
    }
    results.hidden = !results.firstChild;
}

query.addEventListener('focus', () => { load().catch(() => {}); results.hidden = !results.firstChild; });
query.addEventListener('input', show);
search.addEventListener('focusout', ({ relatedTarget }) => { if (!search.contains(relatedTarget)) results.hidden = true; });
document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const inside = search.contains(document.activeElement), places = [query, ...all('#results a')];
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === '/' && document.activeElement !== query && !search.hidden) query.focus();
    else if (inside && step) places[places.indexOf(document.activeElement) + step]?.focus();
    else if (inside && event.key === 'Escape') { query.value = ''; query.focus(); show(); }
    else if (event.key === 'Enter' && document.activeElement === query) show().then(() => places[0].value && all('#results a')[0]?.click());
    else return;
    event.preventDefault();
});
