// Is the page that was built whole, and which files does a browser get packed?
//
// Every class of the component library that the script names must have its rules: `src/library.css` imports the styles of
// single components. Then writes `NAME.br` beside each file that gains by it; the manager picks.

import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants } from 'node:zlib';

const folder = join(import.meta.dirname, 'dist', 'assets');
const built = readdirSync(folder).map((name) => join(folder, name));
const textOf = (ending) =>
  built
    .filter((file) => file.endsWith(ending))
    .map((file) => readFileSync(file, 'utf8'))
    .join('\n');
const classesIn = (text) => new Set(text.match(/\bm_[0-9a-f]{6,9}\b/g));

const [named, ruled] = [classesIn(textOf('.js')), classesIn(textOf('.css'))];
const library = join(import.meta.dirname, 'node_modules', '@mantine', 'core', 'styles');
const missing = readdirSync(library)
  .filter((name) => name.endsWith('.css') && !name.endsWith('.layer.css'))
  .filter((name) =>
    [...classesIn(readFileSync(join(library, name), 'utf8'))].some((one) => named.has(one) && !ruled.has(one)),
  );
if (missing.length > 0) {
  console.error(`src/library.css does not import ${missing.join(', ')}, whose components the page has`);
  process.exit(1);
}

let packed = 0;
for (const file of built) {
  if (!/\.(js|css|svg)$/.test(file) || statSync(file).size < 1024) continue;
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 22 };
  const bytes = brotliCompressSync(readFileSync(file), { params });
  writeFileSync(`${file}.br`, bytes);
  packed += bytes.length;
}
console.log(`${(packed / 1024).toFixed(0)} kB packed, all screens together`);
