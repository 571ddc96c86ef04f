// Everything that the npm client can read of repositories over the v1 API, as one JSON object.
// node v1.mjs http://host:port REPOSITORY[=TAG,..]...   (tags are listed by the registry unless given)

import { createHash } from 'node:crypto';
import { createGunzip } from 'node:zlib';
import { promisify } from 'node:util';
import bunyan from 'bunyan';
import registry from 'docker-registry-client';

const [base, ...repositories] = process.argv.slice(2);
const log = bunyan.createLogger({ name: 'v1', level: 'fatal', stream: process.stderr });

function open(name) {
    const client = registry.createClientV1({ name: `${base}/${name}`, insecure: true, log });
    const call = (method) => promisify(client[method]).bind(client);
    return { client, call };
}

// Size and digest of a layer as it came, and digest of the tar in it.
async function layer(client, imgId) {
    const stream = await promisify(client.getImgLayerStream).call(client, { imgId });
    const [raw, plain] = [createHash('sha256'), createHash('sha256')];
    let size = 0;
    stream.on('data', (chunk) => { size += chunk.length; raw.update(chunk); });
    for await (const chunk of stream.pipe(createGunzip())) plain.update(chunk);
    return { size, sha256: raw.digest('hex'), diffId: 'sha256:' + plain.digest('hex') };
}

async function image({ client, call }, imgId) {
    return { json: await call('getImgJson')({ imgId }), layer: await layer(client, imgId) };
}

async function read(argument, images) {
    const [name, given] = argument.split('=');
    const opened = open(name);
    const { client, call } = opened;
    const found = { images: await call('listRepoImgs')({}), listed: await call('listRepoTags')(), tags: {} };
    for (const tag of given?.split(',') ?? Object.keys(found.listed)) {
        const id = await call('getImgId')({ tag });
        const ancestry = await call('getImgAncestry')({ imgId: id });
        found.tags[tag] = { id, ancestry };
        for (const imgId of ancestry) images[imgId] ??= await image(opened, imgId);
    }
    client.close();
    return found;
}

const { client, call } = open('any/any');
const result = { ping: await call('ping')(), search: await call('search')({ term: 'any' }), repositories: {}, images: {} };
client.close();
for (const argument of repositories) {
    result.repositories[argument.split('=')[0]] = await read(argument, result.images);
}
console.log(JSON.stringify(result));
