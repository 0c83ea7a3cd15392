// Which files does a browser get packed? Writes `NAME.br` beside each that gains by it; the manager picks.

import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { brotliCompressSync, constants } from 'node:zlib';

const folder = join(import.meta.dirname, 'dist', 'assets');
let packed = 0;
for (const name of readdirSync(folder)) {
  const file = join(folder, name);
  if (!/\.(js|css|svg)$/.test(name) || statSync(file).size < 1024) continue;
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 22 };
  const bytes = brotliCompressSync(readFileSync(file), { params });
  writeFileSync(`${file}.br`, bytes);
  packed += bytes.length;
}
console.log(`${(packed / 1024).toFixed(0)} kB packed, all screens together`);
