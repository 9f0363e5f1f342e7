// Every word the engine may say is there in Chinese: held against the engine's own source.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { texts } from './support/browser.mjs';

const SOURCE = new URL('../../src/', import.meta.url);
const engine = JSON.parse(readFileSync(new URL('../src/i18n/engine.json', import.meta.url), 'utf8'));

/** The source below a folder, without its tests. */
function source(...folders) {
  const files = folders.flatMap((folder) => readdirSync(new URL(`${folder}/`, SOURCE), { recursive: true }).filter((name) => name.endsWith('.rs') && !name.endsWith('tests.rs')).map((name) => `${folder}/${name}`));
  return files.map((name) => readFileSync(new URL(name, SOURCE), 'utf8').split('#[cfg(test)]\nmod tests {')[0]).join('\n');
}
const all = (text, pattern) => [...new Set([...text.matchAll(pattern)].map((found) => found[1]))].sort();
/** The body of a function. */
function body(file, name) {
  const text = readFileSync(new URL(file, SOURCE), 'utf8');
  const at = text.indexOf(`fn ${name}(`);
  assert.ok(at >= 0, `${file} has ${name}`);
  return text.slice(at, text.indexOf('\n    }\n', at));
}
const chinese = /[\u4e00-\u9fff]/;
const known = (found, table, pick, what) => {
  assert.ok(found.length > 0, `${what} were found in the source`);
  assert.deepEqual(found.filter((word) => !chinese.test(pick(table[word]) ?? '')), [], `${what} without Chinese`);
};

test('each code of a refusal', () => {
  const text = source('admin', 'access');
  const codes = [
    ...all(text, /Problem::(?:bad|conflict|unprocessable|not_admitted)\(\s*"([a-z_]+)"/g),
    ...all(text, /Problem::with\(\s*[\w:]+,\s*"([a-z_]+)"/g),
    ...all(readFileSync(new URL('admin/problem.rs', SOURCE), 'utf8'), /code: "([a-z_]+)"/g),
  ];
  assert.ok(codes.length > 30, `${codes.length} codes were found`);
  known(codes, engine.problems, (one) => one, 'refusals');
});

test('each cause, outcome and answer code of a delivery', () => {
  const queue = source('delivery/queue');
  const causes = [...all(queue, /self\.(?:hold|bury|retry|attempt)\(\s*seq,\s*"([a-z_]+)"/g), ...all(queue, /cause: "([a-z_]+)"/g)];
  const outcomes = all(body('message/outcome.rs', 'name'), /=> "([a-z_]+)"/g);
  known([...causes, ...outcomes], engine.causes, (one) => one?.[1], 'causes');
  const policy = readFileSync(new URL('delivery/policy.rs', SOURCE), 'utf8');
  const listed = all(policy.slice(0, policy.indexOf('pub const PRESETS')), /^    "([a-z_]+)",$/gm);
  const codes = [...listed, ...all(source('destination'), /code: "([a-z_]+)"/g), ...all(source('destination', 'delivery'), /Answer::new\(\s*"([a-z_]+)"/g), ...all(source('channel'), /(?:cause: |problem\()"([a-z_]+)"/g)];
  assert.ok(codes.length > 25, `${codes.length} codes were found`);
  known(codes, engine.codes, (one) => one?.[1], 'answer codes');
});

test('each code of a finding: in channel files, and before a message is sent again', () => {
  const index = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8');
  known(all(index, /^## (E\d{4}):/gm), engine.findings, (one) => one, 'codes of findings');
  const strict = all(readFileSync(new URL('hl7/ack/build.rs', SOURCE), 'utf8'), /^\s+(\d{3}) => "/gm);
  const resend = all(readFileSync(new URL('admin/resend.rs', SOURCE), 'utf8'), /(?:code: |Finding::error\()"([a-z_]+)"/g);
  known([...strict, ...resend], engine.findings, (one) => one, 'codes of a preview');
});

test('each sentence: why nothing flows, why the engine is not ready, what broke the trail', () => {
  const sentences = Object.fromEntries(engine.sentences);
  const said = [
    ...all(body('engine/mod.rs', 'not_ready'), /push\((?:format!\()?"([^"]+)"/g),
    ...all(body('delivery/queue/view.rs', 'stalled_words'), /format!\(\s*"([^"]+)"/g),
    ...all(body('delivery/shared.rs', 'view'), /Some\("([^"]+)"/g),
    ...all(body('delivery/breaker.rs', 'words'), /"([^"]+)"/g),
    ...all(readFileSync(new URL('access/verify.rs', SOURCE), 'utf8'), /broken\("([^"]+)"/g),
  ].map((text) => text.replace(/\{[^}]*\}/g, '{}'));
  assert.ok(said.length >= 14, `${said.length} sentences were found`);
  known(said, sentences, (one) => one, 'sentences');
});

/** Sentences as they are matched, `{}` where a value stands. */
const listed = JSON.parse(readFileSync(new URL('../src/i18n/findings.json', import.meta.url), 'utf8'));
const SIGNS = /[.*+?^${}()|[\]\\]/g;
const patterns = [...engine.sentences, ...listed].map(([said]) => new RegExp(`^${said.split('{}').map((part) => part.replace(SIGNS, '\\$&')).join('(.+)')}$`, 's'));
const matched = (text) => patterns.some((pattern) => pattern.test(text.replaceAll('{}', 'X1').trim()));

test('each sentence of a finding in a channel file, its hint, and of a refused message', () => {
  // Texts that the sources hold: a literal with words in it. What is no sentence for people is named here.
  const OTHER = [/^(is not|not in|is not empty|starts with|ends with)$/, /^; nearest row: /, /^map at \{\}$/, /^at \{\}\[/, /^a closing (quote|\/)$/, /^add a channel with `from: /, /^a destination publishes it with /, /^HAPI's Terser counts /, /^Basic realm=/, /^Bearer realm=/, /^the table says how the two worlds map$/, /^profiles are not checked here/, /^Nobody is asked/, /^whoever wrote it is not let in/];
  const folders = ['channel', 'config', 'yaml', 'source'];
  const files = folders.flatMap((folder) => readdirSync(new URL(`${folder}/`, SOURCE), { recursive: true }).map((name) => `${folder}/${name}`));
  // The tables of codes, of keys and of functions, the tests inside channel files, the YAML parser's own words, logs.
  const LEFT = /tests|yaml\/(codes|report|syntax)|config\/(shapes|reference|schema)|channel\/cases\/(expect|explain|report|run)|channel\/explain|expr\/function|source\/fhir\/(audit|capability|hear)|source\/gate|source\/listener/;
  const more = ['hl7/path.rs', 'hl7/strict.rs', 'hl7/raw.rs', 'hl7/dictionary/check.rs', 'admin/resend.rs'];
  // What an act that is not possible answers.
  const refusals = ['delivery/mod.rs', 'delivery/queue/act.rs', 'engine/switch.rs', 'access/password.rs'].flatMap((name) => all(readFileSync(new URL(name, SOURCE), 'utf8'), /#\[error\(\s*"([^"]+)"/g).map((text) => text.replace(/\{[^}]*\}/g, '{}')));
  assert.deepEqual(refusals.filter((text) => !matched(text)), []);
  const missing = [];
  let count = 0;
  for (const name of [...files.filter((name) => name.endsWith('.rs') && !LEFT.test(name)), ...more]) {
    const text = readFileSync(new URL(name, SOURCE), 'utf8').split('#[cfg(test)]')[0]
      .replace(/^\s*\/\/.*$/gm, '')
      .replace(/#\[(?:expect|allow)\([^\]]*\)\]/g, '')
      .replace(/(?:warn|info|error|debug)!\((?:[^"]|"(?:[^"\\]|\\.)*")*?\);/g, '')
      .replaceAll(`'"'`, '');
    for (const [, literal] of text.matchAll(/"((?:[^"\\]|\\.)*)"/gs)) {
      const said = literal.replace(/\\\n\s*/g, '').replace(/\\n$/, '').replace(/\\(["\\])/g, '$1').replace(/\{(?!\{)[^{}]*\}(?!\})/g, '{}').replaceAll('{{', '{').replaceAll('}}', '}');
      if (!/[a-z]+ [a-z]+|[a-z]+ \{\}/.test(said) || OTHER.some((one) => one.test(said.trim()))) continue;
      count += 1;
      if (!matched(said)) missing.push(`${name}: ${said}`);
    }
  }
  assert.ok(count > 500, `${count} sentences were found`);
  assert.deepEqual(missing, []);
  // Words of the language itself, and what only joins two others.
  assert.deepEqual(listed.filter(([, meant]) => !chinese.test(meant)).map(([said]) => said), ['{} with', 'is not empty', 'headers: `{}` {}']);
});

test('the places for values are the same in both languages', () => {
  for (const [said, meant] of [...engine.sentences, ...listed]) assert.equal(meant.split(/\{\d?\}/).length, said.split('{}').length, said);
});

test('no text stands there that no page shows', () => {
  const folder = new URL('../src/', import.meta.url);
  const names = readdirSync(folder, { recursive: true }).filter((name) => /\.(svelte|ts)$/.test(name) && !name.startsWith('i18n') && !name.endsWith('openapi.ts'));
  const pages = names.map((name) => readFileSync(new URL(name, folder), 'utf8')).join('\n');
  const keys = ['en', 'en-work', 'en-people'].flatMap((name) => all(readFileSync(new URL(`i18n/${name}.ts`, folder), 'utf8'), /^  '([^']+)':/gm));
  // Texts whose keys are made of a word of the engine: `texts_.word('state', …)`, t(`act.${…}`).
  const made = [...all(pages, /word\('(\w+)'/g).map((name) => `${name}.`), ...all(pages, /[`']([\w.]+\.)\$\{/g)];
  assert.ok(keys.length > 400 && made.length > 10, `${keys.length} texts, ${made.length} groups`);
  assert.deepEqual(keys.filter((key) => !pages.includes(`'${key}'`) && !pages.includes(`"${key}"`) && !made.some((group) => key.startsWith(group))), []);
});

test('every act on record and every permission has its words', () => {
  const routes = readFileSync(new URL('admin/route.rs', SOURCE), 'utf8');
  const recorded = [...routes.matchAll(/route\(\s*"\w+",\s*"[^"]+",\s*\w+(?:\([\w:]+\))?,\s*"([a-z_.]+)",\s*(\w+),?\s*\)/g)].filter(([, , how]) => how !== 'Never').map(([, action]) => action);
  assert.ok(recorded.length > 25, `${recorded.length} acts were found`);
  const permissions = all(body('access/role.rs', 'name'), /=> "([a-z_]+)"/g);
  assert.ok(permissions.includes('see_state'));
  const t = texts('zh');
  for (const action of recorded) assert.match(t(`action.${action}`), chinese, action);
  for (const name of permissions) assert.match(t(`permission.${name}`), chinese, name);
});

test('the guide of the ward has the words of the pages, in both languages', () => {
  for (const [language, file] of [['en', 'ward.md'], ['zh', 'ward.zh.md']]) {
    const guide = readFileSync(new URL(`../../docs/guide/${file}`, import.meta.url), 'utf8');
    const t = texts(language);
    for (const state of ['delivered', 'pending', 'retry', 'held', 'behind', 'dead', 'filtered', 'cancelled']) assert.ok(guide.includes(`| ${t(`state.${state}`)} |`), `${file}: ${t(`state.${state}`)}`);
    for (const key of ['nav.now', 'message.deliveries', 'act.resend', 'emergency.title', 'app.pause']) assert.ok(guide.includes(language === 'en' ? `*${t(key)}*` : `“${t(key)}”`), `${file}: ${t(key)}`);
  }
});
