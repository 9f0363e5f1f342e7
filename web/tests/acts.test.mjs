// What operators and administrators do beside the ten tasks, in a real browser against the real engine, in both languages.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { LANGUAGES, launch, Visitor } from './support/browser.mjs';
import { code, Engine, Hook, listens, Receiver, result, send, until } from './support/engine.mjs';

const ROLES = ['operator', 'analyst', 'releaser', 'security_admin', 'auditor', 'system_admin'];
let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

for (const language of LANGUAGES) {
  describe(`acts in ${language}`, () => {
    let emr, lis, hook, engine, operator;
    before(async () => {
      [emr, lis, hook] = [await Receiver.open(), await Receiver.open(), await Hook.open()];
      engine = await (await (await Engine.prepare({ emr, lis })).withSubscriptions()).start();
      const password = await engine.person('li.na', ROLES);
      operator = await (await Visitor.come(browser, engine, language)).signIn('li.na', password);
    });
    after(async () => {
      await engine?.stop();
      for (const one of [emr, lis, hook]) one?.close();
    });

    test('a message is changed in its tree, checked, compared and sent', async () => {
      await send(engine.port, [result({ accession: 'ACC-EDIT', value: '4.2' })]);
      const { page, t } = operator;
      await operator.open('ACC-EDIT');
      await operator.button('act.resend').click();
      const dialog = page.getByRole('dialog');
      await dialog.getByRole('checkbox', { name: 'trial/lis' }).uncheck();
      await dialog.getByRole('button', { name: t('resend.edit') }).click();
      const tree = dialog.getByRole('tree', { name: t('message.tree') });
      const change = async (path, value) => {
        await tree.getByRole('treeitem').filter({ hasText: path }).first().click();
        await dialog.getByRole('textbox', { name: path }).fill(value);
        await dialog.getByRole('button', { name: t('resend.apply') }).click();
      };
      const look = async () => {
        await dialog.getByRole('button', { name: t('resend.preview'), exact: true }).click();
        await operator.settled();
      };
      // A value type that the standard does not know is found before anything is sent.
      await change('OBX-2', 'QQ');
      await look();
      await dialog.getByText('OBX-2').last().waitFor();
      await dialog.locator('.finding').filter({ hasText: 'OBX' }).waitFor();
      await operator.accessible('the change of a message');
      // An ampersand is a text here, not a divider.
      await change('OBX-2', 'ST');
      await change('OBX-5', '9 & 9');
      await look();
      await dialog.getByText(t('resend.noFindings')).waitFor();
      const compared = dialog.getByRole('table').last();
      await compared.locator('tr.changed').filter({ hasText: '9 \\T\\ 9' }).waitFor();
      assert.equal(emr.got.filter((text) => text.includes('\\T\\')).length, 0, 'to look sends nothing');
      await operator.because('the value was mistyped', 'act.resend');
      await page.getByText('the value was mistyped').waitFor();
      await until('the changed message', () => emr.got.some((text) => text.includes('|9 \\T\\ 9|') && text.includes('ACC-EDIT')));
      const { messages } = await engine.api('POST', '/messages/search', { value: 'ACC-EDIT' });
      assert.equal(messages.length, 2, 'the original is kept, the changed one is another message');
    });

    test('a group is tested on all members, mended, tested again and retried', async () => {
      const { page, t } = operator;
      emr.answer = () => ['AE', 'no such value'];
      await send(engine.port, ['4.2', '4.2', '9.9'].map((value, index) => result({ accession: `ACC-TRY${index}`, value })));
      await engine.destination('emr', (one) => one.dead === 3);
      emr.answer = () => ['AA', ''];
      // A change that cannot be made of one of them.
      const whole = engine.read('channels/trial.yaml');
      const apply = async (text) => {
        engine.write('channels/trial.yaml', text);
        await engine.api('POST', '/reload', { reason: 'a trial' });
      };
      await apply(whole.replace('change: [', "change: [{map: {at: OBX-5, codes: {'4.2': '4.2'}}}, "));
      const sent = emr.got.length;
      await operator.go('/stuck');
      const group = page.getByRole('region').filter({ hasText: 'no such value' });
      // Nobody has to test before a retry.
      assert.ok(await group.getByRole('button', { name: t('exceptions.retryGroup') }).isEnabled());
      const tries = async (counts) => {
        await group.getByRole('button', { name: t('exceptions.test') }).click();
        await group.getByText(t('exceptions.tested', counts)).waitFor();
      };
      await tries({ tested: 3, ok: 2, failed: 1 });
      const { messages } = await engine.api('POST', '/messages/search', { value: 'ACC-TRY2' });
      const failed = group.getByRole('status').getByRole('listitem');
      assert.equal(await failed.count(), 1);
      await failed.filter({ hasText: 'OBX-5' }).waitFor();
      assert.equal(await failed.getByRole('link').getAttribute('href'), `/messages/${messages[0].id}`);
      await operator.accessible('a group that was tested');
      await apply(whole);
      await tries({ tested: 3, ok: 3, failed: 0 });
      assert.equal(await failed.count(), 0);
      assert.equal(emr.got.length, sent, 'a test sends nothing');
      await group.getByRole('button', { name: t('exceptions.retryGroup') }).click();
      await operator.because('the value is known now', 'act.retry');
      await engine.destination('emr', (one) => one.dead === 0 && one.pending === 0 && one.in_flight === 0);
      await until('three deliveries', () => emr.got.filter((text) => text.includes('ACC-TRY')).length >= 3);
      const { records } = await engine.api('POST', '/audit/search', { action: 'exception.test' });
      assert.equal(records.length, 2, 'a test is a look at messages');
    });

    test('a search is saved under a name, opened, shared, changed and taken away', async () => {
      const { page, t } = operator;
      await operator.go('/messages?channel=trial&columns=kind,event');
      const open = (visitor) => visitor.page.getByText(visitor.t('messages.viewName')).locator('xpath=ancestor::details/summary').click();
      const save = async (visitor, name, all) => {
        await open(visitor);
        await visitor.page.getByLabel(visitor.t('messages.viewName')).fill(name);
        if (all) await visitor.page.getByLabel(visitor.t('messages.viewShared')).check();
        await visitor.button('messages.viewSave').click();
        await visitor.page.getByText(visitor.t('messages.viewSaved', { name })).waitFor();
      };
      const saved = (visitor, name) => visitor.page.getByRole('list', { name: visitor.t('messages.views') }).getByRole('listitem').filter({ hasText: name });
      await save(operator, 'Results & more', true);
      await saved(operator, 'Results & more').getByText(t('messages.viewOfAll')).waitFor();
      await operator.accessible('the saved views');
      await operator.go('/messages');
      await saved(operator, 'Results & more').getByRole('link').click();
      await page.getByRole('heading', { level: 1, name: 'Results & more' }).waitFor();
      const query = new URL(page.url()).searchParams;
      assert.deepEqual([query.get('channel'), query.get('columns')], ['trial', 'kind,event']);
      assert.equal(await page.getByRole('columnheader').count(), 3);
      // The same name again replaces it.
      await open(operator);
      await page.getByRole('checkbox', { name: t('messages.event') }).uncheck();
      await operator.button('messages.viewReplace', { name: 'Results & more' }).click();
      await page.getByText(t('messages.viewSaved', { name: 'Results & more' })).waitFor();
      const { views } = await engine.api('GET', '/views');
      assert.deepEqual(views.map((one) => [one.name, one.page, new URLSearchParams(one.query).get('columns'), one.shared]), [['Results & more', '/messages', 'kind', true]]);

      const password = await engine.person('sun.mei', ['viewer']);
      const other = await (await Visitor.come(browser, engine, language)).signIn('sun.mei', password);
      await other.go('/messages');
      await saved(other, 'Results & more').getByText(other.t('messages.viewBy', { owner: 'li.na' })).waitFor();
      assert.equal(await saved(other, 'Results & more').getByRole('button').count(), 0, 'it is not theirs to take away');
      await save(other, 'my own', false);
      await other.clean();
      await other.leave();

      await operator.go('/messages');
      await saved(operator, 'Results & more').waitFor();
      assert.equal(await saved(operator, 'my own').count(), 0, 'what is not shared is seen by nobody else');
      await operator.button('messages.forget', { name: 'Results & more' }).click();
      await page.getByRole('dialog').getByRole('button', { name: t('act.forget'), exact: true }).click();
      await until('the view to be gone', async () => (await saved(operator, 'Results & more').count()) === 0);
      assert.deepEqual((await engine.api('GET', '/views')).views, []);
    });

    test('bulk work has a rate, shows how far it is, and is aborted', async () => {
      const count = 60;
      emr.answer = () => ['AE', 'closed for repairs'];
      await send(engine.port, Array.from({ length: count }, (_, index) => result({ mrn: `R${index}` })));
      await engine.destination('emr', (one) => one.dead >= count);
      emr.answer = () => ['AA', ''];
      const { page, t } = operator;
      await operator.go('/stuck');
      const group = page.getByRole('region').filter({ hasText: 'closed for repairs' });
      await group.getByRole('button', { name: t('exceptions.retryGroup') }).click();
      await page.getByRole('dialog').getByLabel(t('jobs.rate')).fill('1');
      await operator.because('repaired', 'act.retry');
      const jobs = page.getByRole('region', { name: t('jobs.title') });
      await jobs.getByRole('progressbar').waitFor();
      await until('something to be done', async () => (await engine.api('GET', '/jobs')).jobs[0].done > 0);
      await jobs.getByRole('button', { name: t('jobs.abort') }).click();
      await operator.because('not today', 'act.abort');
      await jobs.getByText(t('state.aborted')).waitFor();
      const [job] = (await engine.api('GET', '/jobs')).jobs;
      assert.equal(job.state, 'aborted');
      assert.ok(job.done > 0 && job.done < count, `${job.done} of ${count} were done at one a second`);
      await jobs.getByText(t('jobs.progress', { done: job.done, total: count, failed: 0 })).waitFor();
      const left = await engine.destination('emr', (one) => one.pending === 0 && one.in_flight === 0);
      assert.equal(left.dead, count - job.done, 'the others are where they were');
    });

    test('live messages: all that is not shown is counted; pause, filter', async () => {
      const { page, t } = operator;
      await operator.go('/live');
      await page.getByText(t('live.connected')).waitFor();
      const rows = page.locator('tbody tr');
      await send(engine.port, [result({ accession: 'ACC-LIVE' })]);
      await rows.filter({ hasText: 'ACC-LIVE' }).waitFor();
      // More than is shown in a second.
      const burst = 180;
      await send(engine.port, Array.from({ length: burst }, () => result()));
      const [before, behind] = t('live.skipped', { count: 'COUNT' }).split('COUNT');
      const skipped = async () => Number((await page.getByText(new RegExp(`${before}[\\d,]+${behind}`)).first().innerText()).match(/[\d,]+/)[0].replaceAll(',', ''));
      await until('each to be shown or counted', async () => (await rows.count()) + (await skipped()) === burst + 1);
      assert.ok((await skipped()) > 0, 'some were not shown');
      // Paused, the rows stand still and what comes is counted.
      await operator.button('live.pause').click();
      const still = await rows.count();
      await send(engine.port, [result({ accession: 'ACC-WAITS' })]);
      await page.getByText(t('live.waiting', { count: 1 })).waitFor();
      assert.equal(await rows.count(), still);
      assert.equal(await rows.filter({ hasText: 'ACC-WAITS' }).count(), 0);
      await operator.accessible('the live page, paused');
      await operator.button('live.resume').click();
      await rows.filter({ hasText: 'ACC-WAITS' }).waitFor();
      // The filter is the engine's, and part of the address.
      await page.getByLabel(t('messages.event')).fill('ORU^R02');
      await page.keyboard.press('Enter');
      await until('the filter in the address', () => new URL(page.url()).searchParams.get('event') === 'ORU^R02');
      await page.getByText(t('live.connected')).waitFor();
      await until('the rows of before to be gone', async () => (await rows.count()) === 0);
      await send(engine.port, [result({ accession: 'ACC-OTHER' }), result({ accession: 'ACC-CHOSEN', event: 'R02' })]);
      await rows.filter({ hasText: 'ACC-CHOSEN' }).waitFor();
      assert.equal(await rows.count(), 1);
    });

    test('live messages are masked for who sees values masked', async () => {
      const password = await engine.person('wang.fang', ['viewer']);
      const viewer = await (await Visitor.come(browser, engine, language)).signIn('wang.fang', password);
      await viewer.go('/live');
      await viewer.page.getByText(viewer.t('live.connected')).waitFor();
      await send(engine.port, [result({ accession: 'ACC-HIDDEN', name: 'Zzcanary^Ada' })]);
      await viewer.page.locator('tbody tr').filter({ hasText: '•••' }).waitFor();
      const shown = await viewer.page.content();
      for (const value of ['ACC-HIDDEN', 'Zzcanary']) assert.ok(!shown.includes(value), `${value} is masked`);
      await viewer.clean();
      await viewer.leave();
    });

    test('a channel is stopped and started', async () => {
      const { page, t } = operator;
      await operator.go('/channels/trial');
      await operator.button('channel.stop').click();
      await operator.because('the laboratory moves', 'act.stop');
      await page.getByText('the laboratory moves').waitFor();
      await until('the port to be closed', async () => !(await listens(engine.port)));
      const { stopped } = await engine.api('GET', '/channels/trial');
      assert.equal(stopped.reason, 'the laboratory moves');
      await operator.accessible('a stopped channel');
      await operator.button('channel.start').click();
      await operator.because('it has moved', 'act.start');
      await operator.button('channel.stop').waitFor();
      await until('the port to be open', () => listens(engine.port));
      assert.deepEqual(await send(engine.port, [result()]), ['AA']);
      assert.equal(await page.getByText('the laboratory moves').count(), 0);
    });

    test('a subscription: test event, secret, what waits is tried again or skipped', async () => {
      await engine.subscribe('ward', hook.port);
      await engine.observe('o1');
      await until('the first event', () => hook.taken().length === 1);
      const { page, t } = operator;
      const waits = (wanted) => until(`${wanted} to wait`, async () => {
        const { delivery } = await engine.api('GET', '/subscriptions/ward');
        // Nothing is delivered to one that has nothing to get.
        return delivery ? delivery.pending + delivery.retry + delivery.behind === wanted && delivery.in_flight === 0 : wanted === 0;
      });
      await operator.go('/subscriptions');
      await page.getByRole('link', { name: `127.0.0.1:${hook.port}` }).click();
      await page.getByRole('heading', { level: 1, name: '/hook' }).waitFor();
      await operator.button('act.subscription.test').click();
      await operator.because('is it there?', 'act.subscription.test');
      await page.getByText(t('subscriptions.accepted')).waitFor();
      assert.equal(hook.got.at(-1).kind, 'heartbeat');
      // Another secret signs; it is shown once and not again.
      await operator.button('act.subscription.secret').click();
      await operator.because('somebody left', 'act.subscription.secret');
      const shown = page.getByText(/^whsec_\S+$/);
      await shown.waitFor();
      await operator.accessible('a subscription with its new secret');
      await engine.observe('o2');
      await until('the second event', () => hook.taken().length === 2);
      assert.match(hook.got.at(-1).signature, /^v1,/);
      await page.reload();
      await operator.settled();
      assert.equal(await shown.count(), 0, 'the secret is shown once');
      // The receiver fails: a test says so, events wait, then they are tried again.
      hook.status = 503;
      await engine.observe('o3');
      await waits(1);
      await page.getByText(t('subscriptions.failing', { count: 1, code: '503' })).waitFor();
      await operator.button('act.subscription.test').click();
      await operator.because('is it still there?', 'act.subscription.test');
      await page.getByText(t('subscriptions.notAccepted', { code: '503' })).waitFor();
      hook.status = 200;
      await operator.button('act.subscription.recover').click();
      await operator.because('it is there again', 'act.subscription.recover');
      await until('the third event', () => hook.taken().includes(3));
      // What waits is skipped, on record.
      hook.status = 503;
      await engine.observe('o4');
      await waits(1);
      await operator.button('act.subscription.skip').click();
      await operator.because('the ward has closed', 'act.subscription.skip');
      await waits(0);
      hook.status = 200;
      assert.ok(!hook.taken().includes(4));
      const { records } = await engine.api('POST', '/audit/search', { action: 'subscription.act' });
      assert.deepEqual(records.map((one) => one.reason).slice(0, 4), ['the ward has closed', 'it is there again', 'is it still there?', 'is it there?']);
    });

    test('the first page hears of changes, and asks when it hears nothing', async () => {
      const { page, t } = operator;
      const asked = [];
      page.on('request', (request) => asked.push(new URL(request.url()).pathname));
      const heard = page.waitForResponse('**/api/v1/live/counts');
      await operator.go('/');
      await heard;
      const tile = page.locator('.tile').filter({ hasText: t('now.delivered') }).first().locator('dd');
      const shows = async (count) => until(`${count} to be shown`, async () => Number((await tile.innerText()).replaceAll(',', '')) === count);
      const delivered = async () => {
        const of = async (name) => (await engine.destination(name, (one) => one.pending === 0 && one.in_flight === 0)).delivered;
        return (await of('emr')) + (await of('lis'));
      };
      const before = await delivered();
      await shows(before);
      const times = asked.filter((path) => path === '/api/v1/channels').length;
      await send(engine.port, [result({ mrn: 'HEARD1' }), result({ mrn: 'HEARD2' })]);
      await engine.destination('emr', (one) => one.pending === 0 && one.in_flight === 0);
      const after = await until('two more at two receivers', async () => ((await delivered()) >= before + 4 ? delivered() : undefined));
      await shows(after);
      assert.equal(asked.filter((path) => path === '/api/v1/channels').length, times, 'nothing was asked for');
      // Without the stream it asks.
      await page.route('**/api/v1/live/counts', (route) => route.abort());
      await operator.go('/');
      await send(engine.port, [result({ mrn: 'HEARD3' })]);
      await until('one more', async () => (await delivered()) > after);
      await shows(await delivered());
      await page.unroute('**/api/v1/live/counts');
    });

    test('a second factor is set up, and signing in needs it', async () => {
      const password = await engine.person('zhao.lei', ['viewer']);
      const visitor = await (await Visitor.come(browser, engine, language)).signIn('zhao.lei', password);
      const { page, t } = visitor;
      await visitor.go('/account');
      await visitor.button('account.factorDraw').click();
      const section = page.getByRole('region', { name: t('account.factor') });
      const secret = await section.locator('.secret').innerText();
      await section.getByRole('img', { name: t('account.factorPicture') }).waitFor();
      await visitor.accessible('the set-up of a second factor');
      await section.getByLabel(t('signin.code')).fill(code(secret, 40));
      await visitor.button('account.factorEnrol').click();
      await section.locator('.refused').waitFor();
      await section.getByLabel(t('signin.code')).fill(code(secret));
      await visitor.button('account.factorEnrol').click();
      await section.getByText(t('account.factorDone')).waitFor();
      assert.ok(!(await visitor.traces()).includes(secret), 'the secret is in no address and no storage');
      await visitor.button('app.signOut').click();
      await page.getByLabel(t('signin.user'), { exact: true }).fill('zhao.lei');
      await page.getByLabel(t('signin.password'), { exact: true }).fill(password);
      await visitor.button('signin.do').click();
      await page.getByLabel(t('signin.code')).fill(code(secret, 40));
      await visitor.button('signin.do').click();
      await page.getByText(t('signin.codeWrong')).waitFor();
      // Each code holds once: the next one is taken a little early.
      await page.getByLabel(t('signin.code')).fill(code(secret, 1));
      await visitor.button('signin.do').click();
      await page.getByRole('navigation', { name: t('app.nav') }).waitFor();
      await visitor.clean();
      await visitor.leave();
    });

    test('nothing ran that must not, and nothing was asked of another machine', () => operator.clean());
  });
}
