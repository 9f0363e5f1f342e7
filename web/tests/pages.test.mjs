// Every page: accessible, running nothing that comes in a message, keeping nothing
// of a patient.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { LANGUAGES, launch, Visitor } from './support/browser.mjs';
import { Engine, Receiver, result, send, until } from './support/engine.mjs';
import { HOSTILE } from './support/hostile.mjs';

/** Made-up people, whom nothing outside of the messages' own pages may hold. */
const CANARIES = ['Zzcanary', '测金丝', '欧阳测雀', 'MRN77777001', 'ACC77777002', 'canary-note-77777'];
const [LATIN, HAN, OTHER_HAN, MRN, ACCESSION, NOTE] = CANARIES;

describe('pages', () => {
  let browser, emr, lis, engine, message, subject;
  const people = {};
  const paths = () => [
    '/', '/channels', '/channels/trial', '/channels/trial?tab=file', '/channels/trial?tab=tests', '/destinations/trial/emr', '/destinations/trial/lis', '/messages', `/messages/${message}`, `/messages/${message}?tab=raw`, `/messages/${message}?tab=hex`, `/messages/${message}?tab=to:trial/emr`,
    '/stuck', '/live', '/subscriptions', '/audit', '/users', '/account', '/system', '/no-such-page',
  ];

  before(async () => {
    browser = await launch();
    [emr, lis] = [await Receiver.open(), await Receiver.open()];
    engine = await Engine.prepare({ emr, lis });
    await engine.start('trace');
    // Everything a person may have at once, so that one browser sees each page.
    for (const [name, roles] of [['all.rights', ['operator', 'analyst', 'releaser', 'security_admin', 'auditor', 'system_admin']], ['only.viewer', ['viewer']]])
      people[name] = await engine.person(name, roles);
    emr.answer = (text) => (text.includes('REFUSE') ? ['AE', HOSTILE[1]] : ['AA', '']);
    lis.answer = (text) => (text.includes('REFUSE') ? ['AE', HOSTILE[0]] : ['AA', '']);
    // A file whose name and content are hostile: it is refused, and the page says so.
    engine.write(`channels/<img src=x onerror=alert(1)>.yaml`, `channel: "${'<script>alert(1)<\\/script>'}"\n`);
    await engine.api('POST', '/reload', { reason: '<script>alert(1)</script>' }).catch(() => undefined);
    await engine.api('POST', '/users', { name: 'hostile', display: HOSTILE[1], password: 'a made-up phrase', roles: ['viewer'] });
    const bad = HOSTILE.map((text, index) =>
      result({ mrn: index === 0 ? 'REFUSE' : text, name: `${text}^${text}`, value: text, note: text, accession: `X${index}`, id: `<b>${index}</b>`, event: index === 0 ? '<i>R01</i>' : 'R01' }),
    );
    await send(engine.port, bad);
    await send(engine.port, [result({ mrn: MRN, name: `${LATIN}^Ada~${HAN}^丝`, accession: ACCESSION, note: `${NOTE} ${OTHER_HAN}`, value: 'REFUSE' })]);
    await engine.destination('emr', (one) => one.dead >= 2);
    // Reasons and names that people give.
    engine.write('channels/trial.yaml', engine.read('channels/trial.yaml').replace('NTE-3: checked', 'NTE-3: seen'));
    await engine.api('POST', '/reload', { reason: HOSTILE[2] }).catch(() => undefined);
    await engine.api('POST', '/destinations/trial/lis/pause', { reason: HOSTILE[3] });
    await engine.api('POST', '/jobs', { act: 'skip', selection: { destination: 'trial/billing', state: 'held' }, reason: HOSTILE[4] });
    await engine.api('POST', '/views', { name: HOSTILE[5].slice(0, 60), page: '/messages', query: 'channel=trial', shared: true });
    const found = await engine.api('POST', '/messages/search', { value: 'X2' });
    message = found.messages[0].id;
    subject = (await engine.api('POST', '/messages/search', { value: ACCESSION })).messages[0].id;
  });
  after(async () => {
    await browser?.close();
    await engine?.stop();
    emr?.close();
    lis?.close();
  });

  for (const language of LANGUAGES)
    test(`axe finds nothing serious on any page, in ${language}, light and dark`, async () => {
      const visitor = await Visitor.come(browser, engine, language);
      await visitor.page.goto(engine.url);
      await visitor.page.getByRole('heading', { level: 1 }).waitFor();
      await visitor.accessible('the sign-in');
      await visitor.signIn('all.rights', people['all.rights']);
      for (const [index, path] of paths().entries()) {
        await visitor.page.emulateMedia({ colorScheme: (index + LANGUAGES.indexOf(language)) % 2 ? 'dark' : 'light' });
        await visitor.go(path);
        await visitor.accessible(`${path} in ${language}`);
      }
      await visitor.clean();
      await visitor.leave();
    });

  test('markup in a page is seen, though the policy stops what it would do', async () => {
    const visitor = await (await Visitor.come(browser, engine, 'en')).signIn('all.rights', people['all.rights']);
    for (const text of ['<img src=x onerror="window.__ran.push(1)">', '<i>x</i>', '<a href="javascript:alert(1)">x</a>', '<iframe srcdoc="x"></iframe>', '<p onclick="x()">x</p>']) {
      visitor.ran.length = 0;
      await visitor.page.evaluate((given) => (document.querySelector('main').innerHTML = given), text);
      await visitor.go('/');
      assert.ok(visitor.ran.some((one) => one.startsWith('markup: ')), `${text}: ${visitor.ran}`);
      await assert.rejects(visitor.clean());
    }
    await visitor.leave();
  });

  test('nothing in messages, names, reasons, answers and file names runs or becomes markup, on any page', async () => {
    const visitor = await (await Visitor.come(browser, engine, 'en')).signIn('all.rights', people['all.rights']);
    const { page, t } = visitor;
    const { messages } = await engine.api('POST', '/messages/search', { limit: 100 });
    /** Pages that show such a text, and which: they must show it as the text it is. */
    const shows = {
      '/': [HOSTILE[3], '<img src=x onerror=alert(1)>.yaml'], '/channels/trial': [HOSTILE[3]], '/channels/trial?tab=versions': [HOSTILE[2]], '/destinations/trial/lis': [HOSTILE[3]],
      '/messages': [HOSTILE[2], HOSTILE[5]], '/stuck': [HOSTILE[1], HOSTILE[4]], '/audit': [HOSTILE[3], HOSTILE[4]], '/users': [HOSTILE[1]],
    };
    for (const path of [...paths(), '/channels/trial?tab=versions', '/channels/trial?tab=document']) {
      await visitor.go(path);
      for (const text of shows[path] ?? []) await until(`${text} on ${path}`, async () => (await page.locator('main').innerText()).includes(text), 10_000).catch(async (error) => { throw new Error(`${error.message}\n${await page.locator('main').innerText()}`); });
      await visitor.clean([], path);
    }
    for (const [index, one] of messages.entries()) {
      await visitor.go(`/messages/${one.id}`);
      for (const tab of await page.getByRole('tab').all()) {
        await tab.click();
        await visitor.settled();
        await visitor.clean([], `message ${index}, ${await tab.innerText()}`);
      }
    }
    // As they come, and as somebody searches for them.
    await visitor.go('/live');
    await page.getByText(t('live.connected')).waitFor();
    await send(engine.port, HOSTILE.map((text, index) => result({ mrn: text, accession: `L${index}`, name: text })));
    await page.getByRole('row').filter({ hasText: HOSTILE[1] }).first().waitFor();
    await visitor.clean([], '/live');
    await visitor.go('/messages');
    for (const text of HOSTILE) {
      await page.getByRole('searchbox').first().fill(text);
      await page.keyboard.press('Enter');
      await visitor.settled();
      await visitor.clean([], `a search for ${text}`);
    }
    // The dialog that sends again, with its tree and preview.
    await visitor.go(`/messages/${messages.find((one) => one.keys.some((key) => key.value === 'X1')).id}`);
    await page.getByRole('tab', { name: t('message.raw') }).click();
    await page.getByText(HOSTILE[1].slice(0, 20)).first().waitFor();
    await visitor.button('act.resend').click();
    await visitor.button('resend.edit').click();
    await page.getByRole('dialog').getByRole('treeitem').filter({ hasText: 'PID-5' }).first().waitFor();
    await visitor.button('resend.preview').click();
    await page.getByText(t('resend.noFindings')).or(page.locator('.finding')).first().waitFor();
    await visitor.clean([], 'the dialog that sends again');
    await visitor.leave();
  });

  test('who may see values masked sees none', async () => {
    const visitor = await (await Visitor.come(browser, engine, 'en')).signIn('only.viewer', people['only.viewer']);
    for (const path of ['/', '/channels', '/messages', `/messages/${subject}`, '/stuck', '/destinations/trial/emr', '/system']) {
      await visitor.go(path);
      const shown = await visitor.page.content();
      for (const canary of CANARIES) assert.ok(!shown.includes(canary), `${canary} is not on ${path}`);
    }
    await visitor.clean();
    await visitor.leave();
  });

  test('made-up patients are in no log, metric, address, storage, cookie or error page', async () => {
    const visitor = await (await Visitor.come(browser, engine, 'en')).signIn('all.rights', people['all.rights']);
    const { page, t } = visitor;
    for (const canary of CANARIES) {
      await page.getByRole('searchbox').first().fill(canary);
      await page.keyboard.press('Enter');
      await visitor.settled();
    }
    await visitor.go(`/messages/${subject}`);
    for (const shown of [MRN, HAN]) await page.getByText(shown).first().waitFor();
    for (const tab of await page.getByRole('tab').all()) {
      await tab.click();
      await visitor.settled();
    }
    await visitor.button('act.resend').click();
    await visitor.because('looked into', 'act.resend');
    for (const path of paths()) await visitor.go(path);
    await page.goBack();
    const metrics = await (await fetch(`${engine.url}/metrics`)).text();
    const missing = await (await fetch(`${engine.url}/api/v1/messages/none`)).text();
    const wrong = await (await fetch(`${engine.url}/api/v1/messages/search`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: `{"value": "${MRN}", "${HAN}": 1}` })).text();
    const audit = JSON.stringify(await engine.api('POST', '/audit/search', { limit: 500 }));
    const kept = await visitor.kept();
    const places = {
      metrics, 'error page': missing, 'error about a body': wrong, 'audit trail': audit, 'browser console': visitor.said.join('\n'),
      ...Object.fromEntries(Object.entries(kept).map(([place, held]) => [`browser: ${place}`, JSON.stringify(held)])),
      // The log and its traces, the users' and the trail's store, jobs, what was stopped.
      ...Object.fromEntries(Object.entries(engine.files()).map(([name, text]) => [`file ${name}`, text])),
    };
    assert.ok(metrics.includes('medway_'), 'metrics were read');
    assert.ok(audit.includes('message.content'), 'looking was recorded');
    assert.ok(places['file log'].includes('"level":"DEBUG"'), 'the log tells all it ever tells');
    for (const name of ['file data/access.db', 'browser: localStorage', 'browser: IndexedDB', 'browser: caches', 'browser: cookies']) assert.ok(name in places, `${name} was read: ${Object.keys(places)}`);
    // In an address a name would be encoded.
    const forms = (canary) => [canary, encodeURIComponent(canary), Buffer.from(canary).toString('base64').replace(/=+$/, '').slice(0, -1), JSON.stringify(canary).replace(/[^\x00-\x7f]/g, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, '0')}`).slice(1, -1)];
    for (const [place, text] of Object.entries(places))
      for (const canary of CANARIES) for (const form of forms(canary)) assert.ok(!text.includes(form), `${canary} is not in ${place}`);
    // The store has them: they were there to be found.
    const [[bodies]] = engine.stored("SELECT count(*) FROM message");
    assert.ok(bodies > 0 && JSON.stringify(await engine.api('POST', '/messages/search', { value: ACCESSION })).includes(MRN));
    await visitor.leave();
  });

  test('a page that is too wide for a small screen or for 200 % scrolls in its tables alone', async () => {
    // 1440 × 900 at 200 % has 720 CSS pixels.
    for (const width of [1024, 720]) {
      const visitor = await (await Visitor.come(browser, engine, 'en', { viewport: { width, height: 700 } })).signIn('all.rights', people['all.rights']);
      for (const path of paths()) {
        await visitor.go(path);
        const wide = await visitor.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
        assert.ok(wide <= 0, `${path} is ${wide} pixels wider than ${width}`);
      }
      await visitor.leave();
    }
  });
});
