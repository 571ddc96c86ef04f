// The headers that Netlify's own parser finds in `_headers` for addresses: node netlify.mjs HEADERS LINES
// LINES are those of `stillage config headers`. Prints an object: path -> headers.
import { readFileSync } from 'node:fs';
import { parseAllHeaders } from 'netlify-headers-parser';

const [file, lines] = process.argv.slice(2);
const { headers, errors } = await parseAllHeaders({ headersFiles: [file], minimal: false });
if (errors.length) throw errors[0];
const found = {};
for (const line of readFileSync(lines, 'utf8').trim().split('\n')) {
    const { path } = JSON.parse(line);
    found[path] = {};
    for (const { forRegExp, values } of headers.filter(({ forRegExp }) => forRegExp.test(path))) {
        for (const [name, value] of Object.entries(values)) {
            // Netlify joins the values of a header that comes twice.
            found[path][name] = name in found[path] ? `${found[path][name]}, ${value}` : value;
        }
    }
}
console.log(JSON.stringify(found));
