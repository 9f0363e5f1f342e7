// Every figure of every page that has figures is the API's and the store's: under load no older than what was told
// before and no newer than what is told after; at rest the same, also as SQLite itself counts the store's rows.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launch, Visitor } from './support/browser.mjs';
import { Engine, Hook, Receiver, result, send, until } from './support/engine.mjs';

/** Figures of a page: tiles by their name, tables by row and column. */
function read() {
  const text = (one) => one.innerText.trim().replace(/\s+/g, ' ');
  const tiles = Object.fromEntries([...document.querySelectorAll('.tile')].map((one) => [text(one.querySelector('dt')), text(one.querySelector('dd'))]));
  const rows = [...document.querySelectorAll('main table')].flatMap((table) => {
    const columns = [...table.querySelectorAll('thead th')].map(text);
    return [...table.querySelectorAll('tbody tr')].map((row) => Object.fromEntries([...row.children].map((cell, index) => [columns[index], text(cell)])));
  });
  return { tiles, rows, sections: [...document.querySelectorAll('main section')].map(text) };
}
const number = (text) => {
  assert.match(text ?? '', /^[\d,]+$/, `“${text}” is a number`);
  return Number(text.replaceAll(',', ''));
};
const sum = (list, pick) => list.reduce((total, one) => total + (pick(one) ?? 0), 0);

describe('figures', () => {
  let browser, emr, lis, hook, engine, visitor, t;
  before(async () => {
    [browser, emr, lis, hook] = [await launch(), await Receiver.open(), await Receiver.open(), await Hook.open()];
    engine = await (await (await Engine.prepare({ emr, lis })).withSubscriptions()).start();
    const password = await engine.person('all.rights', ['operator', 'analyst', 'system_admin']);
    visitor = await (await Visitor.come(browser, engine, 'en')).signIn('all.rights', password);
    t = visitor.t;
    emr.answer = (text) => (text.includes('REFUSE') ? ['AE', 'unknown ward'] : ['AA', '']);
    lis.answer = (text) => (text.includes('BLOCK') ? ['AE', 'closed'] : ['AA', '']);
  });
  after(async () => {
    await browser?.close();
    await engine?.stop();
    for (const one of [emr, lis, hook]) one?.close();
  });

  const channels = async () => (await engine.api('GET', '/channels')).channels;
  const trial = async () => (await channels()).find((one) => one.channel === 'trial');
  const to = (channel, name) => channel.destinations.find((one) => one.destination === `trial/${name}`);
  const detail = (name) => engine.api('GET', `/destinations/trial/${name}`);
  const named = (rows, name) => rows.find((row) => Object.values(row)[0].startsWith(name)) ?? assert.fail(`no row ${name}`);

  /** What a destination's page and row say, by the names they have there. */
  const tiles = (one) => ({
    [t('now.delivered')]: one.delivered, [t('destination.waiting')]: one.pending, [t('destination.inFlight')]: one.in_flight, [t('destination.retry')]: one.retry,
    [t('destination.held')]: one.held, [t('destination.behind')]: one.behind, [t('destination.dead')]: one.dead,
  });
  const row = (one) => ({ [t('now.delivered')]: one.delivered, [t('destination.waiting')]: one.pending, [t('destination.held')]: one.held + one.behind, [t('destination.dead')]: one.dead });
  const now = (all) => ({ [t('now.delivered')]: sum(all, (one) => one.delivered), [t('now.backlog')]: sum(all, (one) => one.pending), [t('now.stuck')]: sum(all, (one) => one.held + one.dead + one.behind) });
  const source = ({ sources: [one] }) => ({ [t('channels.received')]: one.received, [t('channels.refused')]: one.refused });
  const destinations = async () => (await channels()).flatMap((one) => one.destinations);

  /** Each page with figures: what the API says, what the page says, which of them only grow. */
  const pages = {
    '/': { told: async () => now(await destinations()), shown: ({ tiles }) => tiles, grow: () => [t('now.delivered'), t('now.stuck')] },
    '/channels': { told: async () => source(await trial()), shown: ({ rows }) => named(rows, 'trial'), grow: () => [t('channels.received'), t('channels.refused')] },
    '/channels/trial': {
      told: async () => {
        const one = await trial();
        const each = ['emr', 'lis', 'billing'].flatMap((name) => Object.entries(row(to(one, name))).map(([key, value]) => [`${name} ${key}`, value]));
        return { ...source(one), ...Object.fromEntries(each) };
      },
      shown: ({ tiles, rows }) => ({ ...tiles, ...Object.fromEntries(['emr', 'lis', 'billing'].flatMap((name) => Object.entries(named(rows, name)).map(([key, value]) => [`${name} ${key}`, value]))) }),
      grow: () => [t('channels.received'), t('channels.refused'), ...['emr', 'lis', 'billing'].flatMap((name) => [`${name} ${t('now.delivered')}`, `${name} ${t('destination.held')}`, `${name} ${t('destination.dead')}`])],
    },
    '/destinations/trial/emr': { told: async () => tiles(await detail('emr')), shown: ({ tiles }) => tiles, grow: () => [t('now.delivered'), t('destination.dead')] },
    '/destinations/trial/lis': {
      told: async () => {
        const one = await detail('lis');
        return { ...tiles(one), 'lane behind': sum(one.lanes, (lane) => lane.behind), lanes: one.lanes.length };
      },
      shown: ({ tiles, rows }) => ({ ...tiles, 'lane behind': String(sum(rows, (one) => number(one[t('destination.behind')]))), lanes: String(rows.length) }),
      grow: () => [t('now.delivered'), t('destination.behind')],
    },
    '/system': {
      told: async () => {
        const { store } = await engine.api('GET', '/status');
        return { [t('system.head')]: store.head, [t('system.commits')]: store.commits };
      },
      shown: ({ tiles }) => tiles,
      grow: () => [t('system.head'), t('system.commits')],
    },
  };

  test('under load no figure of a page is made up, and none stands still', async () => {
    const { page } = visitor;
    let sending = true;
    // Some are refused for good, some are kept in a lane that waits, a broken one is not taken at all.
    const load = (async () => {
      while (sending) {
        await send(engine.port, Array.from({ length: 20 }, (_, index) => result({ mrn: index % 5 === 0 ? 'LANE1' : `L${index}`, value: index % 7 === 0 ? 'REFUSE' : '4.2', note: index % 5 === 0 ? 'BLOCK' : 'x' })));
        await send(engine.port, ['no message at all\r']);
      }
    })();
    try {
      for (const [path, { told, shown, grow }] of Object.entries(pages)) {
        await visitor.go(path);
        const seen = [];
        for (let round = 0; round < 3; round += 1) {
          const low = await told();
          const figures = await until(`${path} to go on, and to be no older than what was told`, async () => {
            const found = shown(await page.evaluate(read));
            const goesOn = seen.length === 0 || number(found[grow()[0]]) > seen.at(-1);
            return goesOn && grow().every((name) => number(found[name]) >= low[name]) ? found : undefined;
          });
          const high = await told();
          for (const name of grow()) assert.ok(number(figures[name]) <= high[name], `${path}, ${name}: ${figures[name]} <= ${high[name]}`);
          // What comes and goes is a number at any moment.
          for (const name of Object.keys(low)) number(figures[name]);
          seen.push(number(figures[grow()[0]]));
        }
      }
    } finally {
      sending = false;
      await load;
    }
  });

  test('at rest each figure is the API’s, and the store’s', async () => {
    const { page } = visitor;
    await engine.destination('emr', (one) => one.pending === 0 && one.in_flight === 0);
    await engine.destination('lis', (one) => one.pending === 0 && one.in_flight === 0);
    for (const [path, { told, shown }] of Object.entries(pages)) {
      await visitor.go(path);
      await until(`${path} to say what the API says`, async () => {
        const [one, other] = [await told(), shown(await page.evaluate(read))];
        return Object.entries(one).every(([name, value]) => other[name] !== undefined && number(other[name]) === value);
      }).catch(async (error) => {
        throw new Error(`${error.message}: ${JSON.stringify([await told(), shown(await page.evaluate(read))])}`);
      });
    }
    // The API's figures are the store's: by its own sums, and by its rows. Nothing has been delivered before this start.
    const one = await trial();
    const { destinations: sums } = await engine.api('GET', '/conservation');
    const exceptions = engine.stored('SELECT d.name, e.state, count(*) FROM exception e JOIN destination d ON d.no = e.destination GROUP BY 1, 2');
    const rows = (name, state) => exceptions.find(([where, is]) => where === name && is === state)?.[2] ?? 0;
    for (const name of ['emr', 'lis', 'billing']) {
      const [api, store] = [to(one, name), sums.find((other) => other.destination === `trial/${name}`)];
      for (const field of ['pending', 'retry', 'held', 'behind', 'dead']) assert.equal(api[field], store[field], `${name}, ${field}`);
      assert.equal(api.delivered, store.delivered - (name === 'billing' ? store.delivered : 0), `${name}, delivered`);
      assert.equal(store.unaccounted, 0);
      for (const [state, field] of [[1, 'retry'], [2, 'held'], [3, 'behind'], [4, 'dead']]) assert.equal(api[field], rows(name, state), `${name}, ${field} in the file`);
    }
    assert.ok(to(one, 'emr').dead > 0 && to(one, 'lis').behind > 0 && one.sources[0].refused > 0, 'there was something to compare');
    const [[messages, last]] = engine.stored('SELECT count(*), max(seq) FROM message');
    const [[refused]] = engine.stored('SELECT count(*) FROM reject');
    assert.deepEqual([one.sources[0].received, one.sources[0].refused], [messages, refused], 'what was received is stored, what was refused is kept as evidence');
    assert.equal((await engine.api('GET', '/status')).store.head, last);

    // Groups of what is stuck, with the words around their figures.
    await visitor.go('/stuck');
    const { groups } = await engine.api('POST', '/exceptions/groups', {});
    const { sections } = await page.evaluate(read);
    for (const group of groups) {
      const text = t('exceptions.groupOf', { count: group.count.toLocaleString('en'), cause: '' }).split('“')[0];
      assert.ok(sections.some((section) => section.startsWith(group.destination) && section.includes(text)), `${group.destination}: ${text}\n${sections.join('\n')}`);
    }
    assert.equal(sum(groups.filter((group) => group.state === 'dead'), (group) => group.count), rows('emr', 4));

    // Messages: as many rows as are said, up to a page.
    await visitor.go('/messages');
    const shown = (await page.evaluate(read)).rows.length;
    assert.equal(shown, Math.min(messages, 50));
    await page.getByText(t('messages.count', { count: shown })).first().waitFor({ state: 'attached' });
  });

  test('a subscription’s figures are the API’s', async () => {
    const { page } = visitor;
    await engine.subscribe('ward', hook.port);
    for (const id of ['o1', 'o2']) await engine.observe(id);
    await until('two events', () => hook.taken().length === 2);
    hook.status = 503;
    await engine.observe('o3');
    const one = await until('the third to wait', async () => {
      const found = await engine.api('GET', '/subscriptions/ward');
      return found.failures > 0 && found.delivery && found.delivery.in_flight === 0 ? found : undefined;
    });
    await visitor.go('/subscriptions/ward');
    const { tiles } = await page.evaluate(read);
    const told = {
      [t('subscriptions.events')]: one.events, [t('destination.waiting')]: one.delivery.pending, [t('destination.retry')]: one.delivery.retry, [t('destination.behind')]: one.delivery.behind,
      [t('destination.dead')]: one.delivery.dead, [t('subscriptions.failures')]: one.failures,
    };
    assert.equal(one.events, 3);
    for (const [name, value] of Object.entries(told)) assert.equal(number(tiles[name]), value, name);
    await visitor.go('/subscriptions');
    const [row] = (await page.evaluate(read)).rows;
    assert.deepEqual([number(row[t('subscriptions.events')]), number(row[t('destination.waiting')])], [3, one.delivery.pending + one.delivery.retry + one.delivery.behind]);
  });

  test('figures since the start begin again with it, and those of the store do not', async () => {
    const before = await detail('emr');
    engine.child.kill('SIGTERM');
    await until('the engine to end', () => engine.child.exitCode !== null);
    await engine.start();
    await visitor.go('/destinations/trial/emr');
    await until('the page to say so', async () => {
      const { tiles } = await visitor.page.evaluate(read);
      return tiles[t('now.delivered')] === '0' && number(tiles[t('destination.dead')]) === before.dead;
    });
    await visitor.clean();
  });
});
