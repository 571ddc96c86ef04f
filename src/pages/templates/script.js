// The name of this host in commands, and the buttons that copy them.
'use strict';
const root = new URL(document.body.dataset.root || './', location.href);
const all = (selector) => document.querySelectorAll(selector), one = (id) => document.getElementById(id);

// Clients take a first component for a host only if it has a dot or a port.
const port = location.protocol === 'http:' ? ':80' : ':443';
const name = location.host + (/[.:]|^localhost$/.test(location.host) ? '' : port);
const host = location.host && name + root.pathname.replace(/\/$/, '');
if (host) {
    for (const place of all('.host')) place.textContent = host;
    for (const hint of all('.without-host')) hint.hidden = true;
}
if (location.protocol === 'http:') {
    for (const place of all('[data-http]')) place.textContent = place.dataset.http;
}

// The page of an image says nothing that may change; what its tags are does.
const tags = one('tags');
if (host && tags) {
    fetch('images.json').then((answer) => answer.json()).then(({ images }) => {
        tags.textContent = images[tags.dataset.digest].tags.join(', ') || tags.textContent;
    }).catch(() => {});
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

let timer;
function say(text) {
    clearTimeout(timer);
    one('said').textContent = text;
    timer = setTimeout(() => { one('said').textContent = ''; }, 5000);
}

// The buttons of tags copy the command of the client that was copied last.
let client = all('[data-copy]')[0]?.dataset.copy;
for (const button of all('[data-copy], [data-reference]')) {
    button.hidden = false;
    button.addEventListener('click', async () => {
        const { copy: chosen, reference } = button.dataset;
        if (chosen) client = chosen;
        for (const place of all('.client')) place.textContent = client;
        const command = one(client).cloneNode(true);
        if (reference) command.querySelector('.reference').textContent = reference;
        await copy(command.textContent).then(
            () => say('Copied: ' + command.textContent),
            () => say('This browser does not let the page copy. Select the command instead.'));
        button.focus();
    });
}
