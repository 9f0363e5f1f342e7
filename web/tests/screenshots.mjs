// Takes a picture of each page at two widths, light and dark, in both languages, into target/screenshots.

import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LANGUAGES, launch, Visitor } from './support/browser.mjs';
import { Engine, Hook, Receiver, result, send, until } from './support/engine.mjs';

const folder = fileURLToPath(new URL('../../target/screenshots/', import.meta.url));
mkdirSync(folder, { recursive: true });
const [emr, lis] = [await Receiver.open(), await Receiver.open()];
emr.answer = (text) => (text.includes('REFUSE') ? ['AE', 'unknown ward'] : ['AA', '']);
lis.answer = emr.answer;
const [fine, down] = [await Hook.open(), await Hook.open()];
const engine = await (await (await Engine.prepare({ emr, lis })).withSubscriptions()).start();
const browser = await launch();
const password = await engine.person('li.na', ['operator', 'analyst', 'releaser', 'security_admin', 'auditor', 'system_admin']);
await engine.person('wang.fang', ['viewer']);
await engine.api('POST', '/tokens', { name: 'monitoring', roles: ['viewer'], days: 90 });
await send(engine.port, Array.from({ length: 30 }, (_, index) => result({ mrn: `P${index % 7}`, name: index % 2 ? '张^伟' : 'Testperson^Ada' })));
await send(engine.port, Array.from({ length: 12 }, (_, index) => result({ mrn: `Q${index}`, value: 'REFUSE' })));
await engine.destination('emr', (one) => one.dead === 12);
await engine.destination('lis', (one) => one.held > 0);
// Subscribers: one that is well, one that has gone away.
for (const [name, hook] of [['ward', fine], ['portal', down]]) await engine.subscribe(name, hook.port);
down.status = 503;
await engine.observe('o1');
// A version after the first, and a destination that somebody has paused.
engine.write('channels/trial.yaml', engine.read('channels/trial.yaml').replace('NTE-3: checked', 'NTE-3: seen'));
await engine.api('POST', '/reload', { reason: 'the note says what was done' });
await engine.api('POST', '/destinations/trial/billing/pause', { reason: 'the receiver moves house' });
const { messages } = await engine.api('POST', '/messages/search', { limit: 20 });
const message = messages.find((one) => one.keys.some((key) => key.value.startsWith('Q'))).id;
const pages = {
  now: '/', channels: '/channels', channel: '/channels/trial', 'channel-tests': '/channels/trial?tab=tests', 'channel-versions': '/channels/trial?tab=versions', 'channel-file': '/channels/trial?tab=file',
  'channel-document': '/channels/trial?tab=document', destination: '/destinations/trial/lis', messages: '/messages', message: `/messages/${message}`,
  'message-raw': `/messages/${message}?tab=raw`, 'message-diff': `/messages/${message}?tab=to:trial/emr`, stuck: '/stuck', live: '/live',
  subscriptions: '/subscriptions', subscription: '/subscriptions/portal', audit: '/audit', users: '/users', account: '/account', system: '/system',
};
// The curves of the first page begin after two minutes.
if (!process.env.MEDWAY_HURRY) await until('two points of the last hour', async () => (await engine.api('GET', '/metrics/history?minutes=60')).points.length > 2, 200_000);
const wanted = process.argv.slice(2);
const languages = process.env.MEDWAY_LANGUAGES?.split(',') ?? LANGUAGES;
for (const language of languages)
  for (const width of [1440, 1024])
    for (const colorScheme of ['light', 'dark']) {
      const visitor = await Visitor.come(browser, engine, language, { colorScheme, viewport: { width, height: 900 } });
      const path = (name) => `${folder}${name}-${width}-${colorScheme}-${language}.png`;
      if (wanted.length === 0) {
        await visitor.page.goto(engine.url);
        await visitor.page.getByRole('heading', { level: 1 }).waitFor();
        await visitor.page.screenshot({ path: path('sign-in'), fullPage: true });
      }
      await visitor.signIn('li.na', password);
      for (const [name, address] of Object.entries(pages)) {
        if (wanted.length > 0 && !wanted.includes(name)) continue;
        await visitor.go(address);
        if (name === 'live') await send(engine.port, [result({ name: '李^娜' }), result()]);
        await visitor.page.waitForLoadState('networkidle', { timeout: 1500 }).catch(() => undefined);
        await visitor.page.screenshot({ path: path(name), fullPage: true });
        if (name === 'message') {
          await visitor.button('act.resend').click();
          await visitor.page.getByRole('dialog').waitFor();
          await visitor.page.screenshot({ path: path('resend') });
          await visitor.page.keyboard.press('Escape');
        }
        if (name === 'users') {
          await visitor.button('users.add').first().click();
          await visitor.page.getByRole('dialog').waitFor();
          await visitor.page.screenshot({ path: path('user') });
          await visitor.page.keyboard.press('Escape');
        }
      }
      await visitor.leave();
    }
await browser.close();
await engine.stop();
console.log(`pictures are in ${folder}`);
process.exit(0);
