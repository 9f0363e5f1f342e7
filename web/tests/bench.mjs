// Measures what the dashboard promises with a million messages stored, and prints it:
// search by key at the server, first page interactive, size of the bundle. Ends with 1 when a limit is passed.

import { readdirSync, statSync } from 'node:fs';
import { launch, Visitor } from './support/browser.mjs';
import { Engine, Receiver, result, send } from './support/engine.mjs';

const MESSAGES = Number(process.env.MEDWAY_BENCH_MESSAGES ?? 1_000_000);
const SENDERS = 8;
const BATCH = 500;
const SEARCHES = 50;
const LIMITS = { search: 300, interactive: 1000, bundle: 300 * 1024 };

const quantile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
let failed = false;
function told(name, value, limit, unit) {
  const kept = value <= limit;
  failed ||= !kept;
  console.log(`${kept ? 'ok  ' : 'OVER'} ${name}: ${Math.round(value * 10) / 10} ${unit} (limit ${limit} ${unit})`);
}

const folder = new URL('../dist/', import.meta.url);
const packed = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith('.gz'));
told('bundle, compressed', packed.reduce((sum, name) => sum + statSync(new URL(name, folder)).size, 0) / 1024, LIMITS.bundle / 1024, 'KiB');

const [emr, lis] = [await Receiver.open(), await Receiver.open()];
const engine = await Engine.prepare({ emr, lis });
// Nothing is delivered: what is measured is the store and the page.
engine.write('channels/trial.yaml', `channel: trial
order_by: PID-3.1
from: {mllp: {listen: "127.0.0.1:${engine.port}"}, ack: after_stored}
accept: {duplicate: none}
search_keys: {mrn: PID-3.1, accession: OBR-3.1, order: OBR-2.1}
to:
  emr:
    when: MSH-9.2 is A99
    mllp: {host: 127.0.0.1, port: ${emr.port}}
`);
await engine.start();
const began = Date.now();
let made = 0;
await Promise.all(
  Array.from({ length: SENDERS }, async () => {
    while (made < MESSAGES) {
      const count = Math.min(BATCH, MESSAGES - made);
      const first = made;
      made += count;
      await send(engine.port, Array.from({ length: count }, (_, index) => result({ mrn: `P${(first + index) % 50_000}`, accession: `A${first + index}` })));
    }
  }),
);
console.log(`     ${MESSAGES} messages stored in ${Math.round((Date.now() - began) / 1000)} s`);

async function timed(work) {
  const start = performance.now();
  await work();
  return performance.now() - start;
}
for (const [name, query] of [
  ['an accession number', (index) => ({ value: `A${(index * 7919) % MESSAGES}` })],
  ['a record number with 20 messages', (index) => ({ name: 'mrn', value: `P${(index * 7919) % 50_000}` })],
  ['a value that is nowhere', (index) => ({ value: `nowhere ${index}` })],
]) {
  const times = [];
  for (let index = 0; index < SEARCHES; index += 1) times.push(await timed(() => engine.api('POST', '/messages/search', { ...query(index), limit: 50 })));
  times.sort((a, b) => a - b);
  told(`search by ${name}, 95 of 100`, quantile(times, 0.95), LIMITS.search, 'ms');
}

const password = await engine.person('li.na', ['operator', 'analyst']);
const browser = await launch();
const visitor = await (await Visitor.come(browser, engine, 'en')).signIn('li.na', password);
const pages = [];
for (let round = 0; round < 5; round += 1) {
  for (const path of ['/', '/messages']) {
    await visitor.page.goto('about:blank');
    pages.push([path, await timed(() => visitor.go(path))]);
  }
}
for (const path of ['/', '/messages']) {
  const times = pages.filter(([name]) => name === path).map(([, time]) => time).sort((a, b) => a - b);
  told(`page ${path} interactive, median`, quantile(times, 0.5), LIMITS.interactive, 'ms');
}
await browser.close();
await engine.stop();
process.exit(failed ? 1 : 0);
