// What people rely on without thinking of it: sessions that end, looks that are few, acts that stay in their group,
// pages that are found, lists that stay fast.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { launch, Visitor } from './support/browser.mjs';
import { Engine, Receiver, result, send, until } from './support/engine.mjs';

describe('care', () => {
  let browser, emr, lis, engine, operator;
  const people = {};
  before(async () => {
    browser = await launch();
    [emr, lis] = [await Receiver.open(), await Receiver.open()];
    engine = await (await Engine.prepare({ emr, lis })).start();
    for (const [name, roles] of [['op', ['operator', 'analyst']], ['look', ['viewer']], ['audit', ['auditor']]]) people[name] = await engine.person(name, roles);
    operator = await (await Visitor.come(browser, engine, 'en')).signIn('op', people.op);
  });
  after(async () => {
    await browser?.close();
    await engine?.stop();
    for (const one of [emr, lis]) one?.close();
  });
  const records = async (action) => (await engine.api('POST', '/audit/search', { action, actor: 'user:op', limit: 500 })).records.length;

  test('new messages are told of without searching again, and a page that asks by itself says so', async () => {
    const { page, t } = operator;
    await send(engine.port, [result({ accession: 'ACC-ONE' })]);
    const asked = [];
    page.on('request', (request) => asked.push(request));
    await operator.go('/messages');
    await page.getByRole('row').filter({ hasText: 'ACC-ONE' }).waitFor();
    const before = await records('message.search');
    await send(engine.port, [result({ accession: 'ACC-TWO' })]);
    await operator.button('messages.new').waitFor();
    assert.equal(await records('message.search'), before, 'nobody searched meanwhile');
    await operator.button('messages.new').click();
    await page.getByRole('row').filter({ hasText: 'ACC-TWO' }).waitFor();
    assert.equal(await records('message.search'), before + 1);
    await operator.go('/channels');
    await until('a refresh', () => asked.some((one) => one.url().endsWith('/channels') && one.headers()['x-medway-background'] === '1'));
  });

  test('a message at rest is looked at once', async () => {
    const { messages } = await engine.api('POST', '/messages/search', { value: 'ACC-ONE' });
    await engine.destination('lis', (one) => one.pending === 0 && one.in_flight === 0);
    const before = await records('message.see');
    await operator.go(`/messages/${messages[0].id}`);
    const session = () => operator.page.waitForResponse((response) => response.url().endsWith('/api/v1/session'));
    // Half a minute later the page asks for its session; polling would have looked ten times.
    await session();
    assert.equal(await records('message.see'), before + 1);
  });

  test('two minutes before its end the session says so, and can go on', async () => {
    const { page, t } = operator;
    let left = 100;
    const asked = [];
    await page.route('**/api/v1/session', async (route) => {
      if (route.request().method() !== 'GET') return route.continue();
      if (!route.request().headers()['x-medway-background']) asked.push('by hand');
      const response = await route.fetch();
      return route.fulfill({ response, json: { ...(await response.json()), ends_in_seconds: left } });
    });
    await operator.go('/');
    await page.getByRole('alert').getByText(t('session.ends')).waitFor();
    await operator.accessible('the warning');
    left = 900;
    asked.length = 0;
    await operator.button('session.stay').click();
    await page.getByText(t('session.ends')).waitFor({ state: 'hidden' });
    assert.ok(asked.length >= 1, 'the engine was told that somebody is there');
    await page.unroute('**/api/v1/session');
  });

  test('an act on a group leaves the other group of the same cause alone', async () => {
    const { page, t } = operator;
    emr.answer = (text) => ['AE', text.includes('GROUP-A') ? 'unknown ward' : 'unknown bed'];
    await send(engine.port, [...Array.from({ length: 3 }, (_, index) => result({ accession: `GROUP-A${index}` })), ...Array.from({ length: 2 }, (_, index) => result({ accession: `GROUP-B${index}` }))]);
    await engine.destination('emr', (one) => one.dead === 5);
    emr.answer = () => ['AA', ''];
    await operator.go('/stuck');
    const group = page.getByRole('region').filter({ hasText: 'unknown ward' });
    await group.getByText(t('exceptions.members'), { exact: true }).click();
    await until('its members alone', async () => (await group.locator('details li').count()) === 3);
    // Who sees texts tests this group alone.
    await group.getByRole('button', { name: t('exceptions.test') }).click();
    await group.getByText(t('exceptions.tested', { tested: 3, ok: 3, failed: 0 })).waitFor();
    assert.equal(await group.getByText(t('exceptions.testWider')).count(), 0);
    await group.getByRole('button', { name: t('exceptions.retryGroup') }).click();
    await operator.because('the ward exists now', 'act.retry');
    await engine.destination('emr', (one) => one.dead === 2);
    await until('three deliveries', () => emr.got.filter((text) => text.includes('GROUP-A')).length === 3);
    assert.equal(emr.got.filter((text) => text.includes('GROUP-B')).length, 0);
    const { groups } = await engine.api('POST', '/exceptions/groups', { state: 'dead' });
    assert.deepEqual(groups.map((one) => [one.text, one.count]), [['unknown bed', 2]]);
  });

  test('each page has its title, the link to the content works, and who goes on is told and taken there', async () => {
    const { page, t } = operator;
    await operator.go('/channels/trial');
    assert.equal(await page.title(), `trial · ${t('nav.channels')} · ${t('app.name')}`);
    await page.getByRole('link', { name: t('app.skip') }).focus();
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'content');
    await page.getByRole('link', { name: t('nav.exceptions') }).click();
    await until('the title', async () => (await page.title()).startsWith(t('nav.exceptions')));
    assert.equal(await page.evaluate(() => document.activeElement.id), 'content');
    await page.getByRole('status').filter({ hasText: t('nav.exceptions') }).first().waitFor({ state: 'attached' });
  });

  test('what is wrong is one list: a stopped channel, a refused file, dead letters', async () => {
    const { page, t } = operator;
    await engine.api('POST', '/channels/trial/stop', { reason: 'the ward moves' });
    engine.write('channels/bad.yaml', 'channel: bad\nnonsense: true\n');
    await engine.api('POST', '/reload', { reason: 'a trial' }).catch(() => undefined);
    await operator.go('/');
    const item = (text) => page.getByRole('listitem').filter({ hasText: text }).first();
    for (const [text, first] of [['the ward moves', 'now.first.channelStopped'], ['bad.yaml', 'now.first.refused'], ['trial/emr', 'now.first.dead']]) {
      await item(text).getByText(t(first)).waitFor();
      await item(text).locator('time').first().waitFor();
    }
    await operator.accessible('the list of what is wrong');
    await engine.api('POST', '/channels/trial/start', { reason: 'it has moved' });
  });

  test('paused updates stand still on each page that refreshes by itself, until they go on', async () => {
    const visitor = await (await Visitor.come(browser, engine, 'en')).signIn('op', people.op);
    const { page, t } = visitor;
    await page.clock.install();
    let asked = [];
    // The session is asked for all the same: its end is no update of what is read.
    page.on('request', (request) => {
      const path = new URL(request.url()).pathname;
      if (path.startsWith('/api/') && path !== '/api/v1/session') asked.push(path);
    });
    for (const path of ['/', '/channels', '/channels/trial', '/destinations/trial/emr', '/stuck', '/subscriptions', '/system']) {
      await visitor.go(path);
      await visitor.button('app.pause').click();
      await page.getByText(t('app.paused')).waitFor();
      await page.waitForLoadState('networkidle');
      asked = [];
      await page.clock.runFor(60_000);
      assert.deepEqual(asked, [], `${path} stands still`);
      await visitor.button('app.resume').click();
      await page.getByText(t('app.paused')).waitFor({ state: 'hidden' });
      await page.clock.runFor(31_000);
      await until(`${path} to go on`, () => asked.length > 0);
    }
    await visitor.leave();
    // Messages as they come wait too, and are counted.
    await operator.go('/live');
    await operator.page.getByText(operator.t('live.connected')).waitFor();
    await operator.button('app.pause').click();
    await send(engine.port, [result({ accession: 'ACC-STILL' })]);
    await operator.page.getByText(operator.t('live.waiting', { count: 1 })).waitFor();
    assert.equal(await operator.page.getByRole('row').filter({ hasText: 'ACC-STILL' }).count(), 0);
    await operator.button('app.resume').click();
    await operator.page.getByRole('row').filter({ hasText: 'ACC-STILL' }).waitFor();
  });

  test('more lanes than are shown are said', async () => {
    const { page, t } = operator;
    const lane = (index) => ({ message: null, seq: index, state: 'held', cause: 'rejected', since: new Date().toISOString(), behind: 0 });
    await page.route('**/api/v1/destinations/trial/lis', async (route) => {
      const response = await route.fetch();
      return route.fulfill({ response, json: { ...(await response.json()), held: 130, retry: 4, lanes: Array.from({ length: 100 }, (_, index) => lane(index + 1)) } });
    });
    await operator.go('/destinations/trial/lis');
    await page.getByText(t('destination.lanesCut', { shown: 100, all: 134 })).waitFor();
    await page.unroute('**/api/v1/destinations/trial/lis');
  });

  test('lists that the engine answers in pages are shown whole', async () => {
    const { page } = operator;
    const all = (await engine.api('GET', '/channels')).channels;
    const asked = [];
    await page.route(/\/api\/v1\/channels(\?.*)?$/, (route) => {
      const after = new URL(route.request().url()).searchParams.get('after');
      asked.push([after, route.request().headers()['x-medway-background']]);
      const made = { ...all[0], channel: after ? 'made-up-second' : 'made-up-first' };
      return route.fulfill({ json: { channels: [made], refused: [], next: after ? null : 'made-up-first' } });
    });
    await operator.go('/channels');
    for (const name of ['made-up-first', 'made-up-second']) await page.getByRole('link', { name, exact: true }).waitFor();
    await until('a refresh, of which each page is asked for by the page itself', () => asked.some(([after, quiet]) => after === 'made-up-first' && quiet === '1'));
    await page.unrouteAll();
  });

  test('a role is offered what it may do, and nothing else', async () => {
    const viewer = await (await Visitor.come(browser, engine, 'en')).signIn('look', people.look);
    for (const path of ['/destinations/trial/emr', '/channels', '/channels/trial', '/stuck']) {
      await viewer.go(path);
      for (const key of ['destination.pause', 'act.retry', 'act.skip', 'exceptions.retryGroup'])
        assert.equal(await viewer.page.getByRole('button', { name: new RegExp(`^${viewer.t(key)}($|:)`) }).count(), 0, `${key} on ${path}`);
    }
    await viewer.leave();
    await operator.go('/destinations/trial/emr');
    await operator.button('destination.pause').waitFor();
  });

  test('what was searched for is forgotten when somebody signs out', async () => {
    const visitor = await (await Visitor.come(browser, engine, 'en')).signIn('look', people.look);
    const { page, t } = visitor;
    await page.getByRole('searchbox').first().fill('MRN5550001');
    await page.keyboard.press('Enter');
    await visitor.settled();
    await page.getByRole('button', { name: t('app.signOut') }).click();
    await page.getByLabel(t('signin.user'), { exact: true }).fill('look');
    await page.getByLabel(t('signin.password'), { exact: true }).fill(people.look);
    await page.getByRole('button', { name: t('signin.do') }).click();
    await page.getByRole('heading', { level: 1 }).waitFor();
    assert.equal(await page.getByRole('searchbox').first().inputValue(), '');
    assert.ok(!(await page.content()).includes('MRN5550001'));
    await visitor.leave();
  });

  test('an export of the trail has all that match, beyond one page, and nothing else', async () => {
    const auditor = await (await Visitor.come(browser, engine, 'en')).signIn('audit', people.audit);
    const { page, t } = auditor;
    for (let made = 0; made < 510; made += 1) await engine.api('POST', '/messages/search', { limit: 1 });
    await auditor.go('/audit?action=message.search&actor=token:admin');
    const wanted = async (key) => {
      const [file] = await Promise.all([page.waitForEvent('download'), auditor.button(key).click()]);
      return readFileSync(await file.path(), 'utf8');
    };
    const lines = (await wanted('audit.csv')).trim().split(/\r?\n/);
    assert.ok(lines.length - 1 >= 510, `${lines.length - 1} records`);
    assert.ok(lines.slice(1).every((line) => line.includes(',token:admin,') && line.includes(',message.search,')));
    const { entry } = JSON.parse(await wanted('audit.fhir'));
    assert.equal(entry.length, lines.length - 1);
    assert.ok(!JSON.stringify(entry).includes('""'), 'R4 has no empty strings');
    await auditor.leave();
  });

  test('ten thousand channels are found, turned over and filtered without waiting', async () => {
    const { page, t } = operator;
    const number = (index) => String(index).padStart(5, '0');
    const channels = Array.from({ length: 10_000 }, (_, index) => ({
      channel: `made-up-${number(index)}`, version: 1, stopped: null,
      sources: [{ kind: 'mllp', listens: null, connections: 0, received: index, refused: 0, last_message_at: null, last_refusal: null }],
      destinations: [{ destination: `made-up-${number(index)}/emr`, state: 'flowing', delivered: 1, pending: 0 }],
    }));
    await page.route('**/api/v1/channels', (route) => route.fulfill({ json: { channels, refused: [] } }));
    await operator.go('/channels');
    const row = (index) => page.getByRole('link', { name: `made-up-${number(index)}`, exact: true });
    const quick = async (what, act, wanted) => {
      const start = performance.now();
      await act();
      await wanted.waitFor();
      const took = performance.now() - start;
      assert.ok(took < 2000, `${what} took ${Math.round(took)} ms`);
    };
    await row(0).waitFor();
    assert.ok((await page.locator('tbody tr').count()) <= 100);
    await quick('the next page', () => operator.button('channels.after').click(), row(100));
    await quick('a filter', () => page.getByLabel(t('channels.filter')).fill('09999'), row(9999));
    await operator.go('/');
    await page.getByText(t('now.allFlows')).or(page.getByText(t('now.needOne'))).or(page.getByText(t('now.wrong'))).first().waitFor();
    await page.unroute('**/api/v1/channels');
  });
});
