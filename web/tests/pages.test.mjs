// Every page: accessible, running nothing that comes in a message, keeping nothing
// of a patient.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { LANGUAGES, launch, Visitor } from './support/browser.mjs';
import { Engine, Receiver, result, send, until } from './support/engine.mjs';
import { HOSTILE } from './support/hostile.mjs';

/** Made-up people, whom nothing outside of the messages' own pages may hold. */
const CANARIES = ['Zzcanary', '测金丝', 'MRN77777001', 'ACC77777002', 'canary-note-77777'];

describe('pages', () => {
  let browser, emr, lis, engine, message, subject;
  const people = {};
  const paths = () => [
    '/', '/channels', '/channels/trial', '/channels/trial?tab=file', '/destinations/trial/emr', '/destinations/trial/lis', '/messages', `/messages/${message}`,
    '/stuck', '/live', '/subscriptions', '/audit', '/users', '/account', '/system', '/no-such-page',
  ];

  before(async () => {
    browser = await launch();
    [emr, lis] = [await Receiver.open(), await Receiver.open()];
    engine = await Engine.prepare({ emr, lis });
    await engine.start();
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
    await send(engine.port, [result({ mrn: CANARIES[2], name: `${CANARIES[0]}${CANARIES[1]}^Ada`, accession: CANARIES[3], note: CANARIES[4], value: 'REFUSE' })]);
    await engine.destination('emr', (one) => one.dead >= 2);
    const found = await engine.api('POST', '/messages/search', { value: 'X2' });
    message = found.messages[0].id;
    subject = (await engine.api('POST', '/messages/search', { value: CANARIES[3] })).messages[0].id;
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

  test('nothing in messages, names, reasons, answers and file names runs', async () => {
    const visitor = await (await Visitor.come(browser, engine, 'en')).signIn('all.rights', people['all.rights']);
    const { page, t } = visitor;
    const { messages } = await engine.api('POST', '/messages/search', { limit: 100 });
    for (const path of paths()) await visitor.go(path);
    for (const one of messages) {
      await visitor.go(`/messages/${one.id}`);
      for (const tab of await page.getByRole('tab').all()) {
        await tab.click();
        await visitor.settled();
      }
    }
    await visitor.go('/messages');
    for (const text of HOSTILE) {
      await page.getByRole('searchbox').first().fill(text);
      await page.keyboard.press('Enter');
      await visitor.settled();
    }
    // The texts are there, as texts.
    await visitor.go(`/messages/${messages.find((one) => one.keys.some((key) => key.value === 'X1')).id}`);
    await page.getByRole('tab', { name: t('message.raw') }).click();
    await page.getByText(HOSTILE[1].slice(0, 20)).first().waitFor();
    await visitor.clean();
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

  test('figures on the page are those of the API, under load', async () => {
    const visitor = await (await Visitor.come(browser, engine, 'en')).signIn('all.rights', people['all.rights']);
    const { page, t } = visitor;
    let sending = true;
    const load = (async () => {
      while (sending) await send(engine.port, Array.from({ length: 20 }, (_, index) => result({ mrn: `L${index}` })));
    })();
    await visitor.go('/channels/trial');
    const cell = () => page.getByRole('row').filter({ hasText: 'emr' }).locator('td.number').first().innerText();
    for (let round = 0; round < 3; round += 1) {
      const low = (await engine.api('GET', '/destinations/trial/emr')).delivered;
      const shown = await until('a figure that is no older', async () => {
        const value = Number((await cell()).replaceAll(',', ''));
        return value >= low ? value : undefined;
      });
      const high = (await engine.api('GET', '/destinations/trial/emr')).delivered;
      assert.ok(low <= shown && shown <= high, `${low} <= ${shown} <= ${high}`);
    }
    sending = false;
    await load;
    const still = await engine.destination('emr', (one) => one.pending === 0 && one.in_flight === 0);
    const sums = await engine.api('GET', '/conservation');
    const stored = sums.destinations.find((one) => one.destination === 'trial/emr');
    assert.equal(stored.dead, still.dead);
    await until('the page to show the last figure', async () => Number((await cell()).replaceAll(',', '')) === still.delivered);
    // Every figure of the row, and what the store counts.
    const shown = (await page.getByRole('row').filter({ hasText: 'emr' }).locator('td.number').allInnerTexts()).map((text) => Number(text.replaceAll(',', '')));
    assert.deepEqual(shown, [still.delivered, still.pending, still.held + still.behind, still.dead]);
    assert.deepEqual([stored.pending, stored.held + stored.behind, stored.dead], shown.slice(1));
    await page.getByRole('columnheader', { name: t('now.delivered') }).waitFor();
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
    await page.getByText(CANARIES[2]).first().waitFor();
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
    const audit = JSON.stringify(await engine.api('POST', '/audit/search', { limit: 500 }));
    const places = { log: engine.log(), metrics, 'error page': missing, 'audit trail': audit, 'browser storage and addresses': await visitor.traces(), 'browser console': visitor.said.join('\n') };
    assert.ok(metrics.includes('medway_'), 'metrics were read');
    assert.ok(audit.includes('message.content'), 'looking was recorded');
    for (const [place, text] of Object.entries(places))
      for (const canary of CANARIES) assert.ok(!text.includes(canary), `${canary} is not in the ${place}`);
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
