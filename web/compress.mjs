// Compresses what was built, so that the engine serves it without work, and says how large it is.
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const LIMIT_BYTES = 300 * 1024;
const files = (folder) =>
  readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    return statSync(path).isDirectory() ? files(path) : [path];
  });

let total = 0;
for (const path of files('dist').filter((path) => !path.endsWith('.gz'))) {
  const packed = gzipSync(readFileSync(path), { level: 9 });
  writeFileSync(`${path}.gz`, packed);
  total += packed.length;
}
console.log(`dashboard: ${(total / 1024).toFixed(1)} KiB compressed (limit ${LIMIT_BYTES / 1024})`);
if (total > LIMIT_BYTES) process.exit(1);
