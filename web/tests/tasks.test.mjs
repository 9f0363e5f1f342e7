// The ten tasks people come for, in a real browser against the real engine, in both languages.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { LANGUAGES, launch, Visitor } from './support/browser.mjs';
import { Engine, Receiver, result, send, until } from './support/engine.mjs';

const BULK = 500;
let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

for (const language of LANGUAGES) {
  describe(`tasks in ${language}`, () => {
    let emr, lis, engine, admin, operator;
    before(async () => {
      [emr, lis] = [await Receiver.open(), await Receiver.open()];
      engine = await (await Engine.prepare({ emr, lis })).start();
      admin = await Visitor.come(browser, engine, language);
      operator = await Visitor.come(browser, engine, language);
    });
    after(async () => {
      await engine?.stop();
      emr?.close();
      lis?.close();
    });

    test('first set-up by the printed link', async () => {
      const { page, t } = admin;
      await page.goto(await engine.invitation());
      await page.getByRole('heading', { name: t('setup.title') }).waitFor();
      await admin.accessible('the set-up');
      await page.getByLabel(t('signin.user')).fill('admin');
      await page.getByLabel(t('signin.password'), { exact: true }).fill('a long made-up phrase');
      await page.getByRole('button', { name: t('setup.do') }).click();
      await page.getByRole('heading', { name: t('now.title') }).waitFor();
      await page.getByText(t('now.allFlows')).waitFor();
      // The link's token is in the history of no browser.
      assert.equal(new URL(page.url()).hash, '');
    });

    test('a user is added with a role and can do what the role says', async () => {
      const { page, t } = admin;
      await page.getByRole('link', { name: t('nav.users') }).click();
      await admin.button('users.add').first().click();
      const dialog = page.getByRole('dialog');
      await dialog.getByLabel(t('signin.user')).fill('li.na');
      await dialog.getByLabel(t('users.password')).fill('another made-up phrase');
      await dialog.getByRole('checkbox', { name: t('role.viewer') }).uncheck();
      // Who acts on messages and reads them whole.
      for (const role of ['operator', 'analyst']) await dialog.getByRole('checkbox', { name: t(`role.${role}`) }).check();
      await admin.accessible('the form of a user');
      await dialog.getByRole('button', { name: t('users.add') }).click();
      await page.getByRole('row').filter({ hasText: 'li.na' }).getByText(t('role.operator')).waitFor();
      await operator.signIn('li.na', 'another made-up phrase');
      await operator.page.getByRole('link', { name: t('nav.messages'), exact: true }).waitFor();
      assert.equal(await operator.page.getByRole('link', { name: t('nav.users') }).count(), 0, 'neither administers anybody');
    });

    test('a message is found by its accession number from any page', async () => {
      assert.deepEqual(await send(engine.port, [result({ accession: 'ACC-FIND' }), result()]), ['AA', 'AA']);
      const { page, t } = operator;
      await operator.go('/system');
      await page.keyboard.press('/');
      await page.keyboard.type('ACC-FIND');
      await page.keyboard.press('Enter');
      const row = page.getByRole('row').filter({ hasText: 'ACC-FIND' });
      await row.waitFor();
      await until('one row alone', async () => (await page.locator('tbody tr').count()) === 1);
      assert.ok(!page.url().includes('ACC-FIND'), 'a key is in no address');
      await row.getByRole('link').click();
      await page.getByRole('heading', { name: t('message.deliveries') }).waitFor();
    });

    test('why was it not delivered', async () => {
      emr.answer = () => ['AE', 'unknown ward'];
      await send(engine.port, [result({ accession: 'ACC-WHY' })]);
      await engine.destination('emr', (one) => one.dead === 1);
      const { page, t } = operator;
      await page.keyboard.press('Escape');
      await page.getByRole('searchbox').first().fill('ACC-WHY');
      await page.keyboard.press('Enter');
      await page.getByRole('row').filter({ hasText: 'ACC-WHY' }).getByRole('link').click();
      const section = page.getByRole('region', { name: 'trial/emr' });
      await section.getByText(t('state.dead')).waitFor();
      await section.getByText('unknown ward').first().waitFor();
      await page.getByRole('region', { name: 'trial/lis' }).getByText(t('state.delivered')).waitFor();
      const billing = page.getByRole('region', { name: 'trial/billing' });
      await billing.getByText(t('state.filtered')).waitFor();
      // Why the filter said no: its expression and what the message has there.
      await billing.getByText(t('why.title')).click();
      await billing.getByText(t('why.fails', { value: 'R01' })).waitFor();
    });

    test('one message is sent again with a reason', async () => {
      emr.answer = () => ['AA', ''];
      const { page, t } = operator;
      const original = page.url();
      await operator.button('act.resend').click();
      const dialog = page.getByRole('dialog');
      await dialog.getByRole('checkbox', { name: 'trial/lis' }).uncheck();
      await dialog.getByRole('checkbox', { name: 'trial/billing' }).uncheck();
      await operator.accessible('the resend dialog');
      await operator.because('the ward exists now', 'act.resend');
      await page.getByText('the ward exists now').waitFor();
      assert.notEqual(page.url(), original, 'the new message is shown');
      await page.getByRole('region', { name: 'trial/emr' }).getByText(t('state.delivered')).waitFor();
      await page.getByRole('link', { name: t('message.parent') }).click();
      await until('the original', () => page.url() === original);
    });

    test(`${BULK} dead letters are retried at once`, async () => {
      emr.answer = () => ['AE', 'closed for maintenance'];
      await send(engine.port, Array.from({ length: BULK }, (_, index) => result({ mrn: `B${index}` })));
      await engine.destination('emr', (one) => one.dead >= BULK);
      emr.answer = () => ['AA', ''];
      const { page, t } = operator;
      await page.getByRole('link', { name: t('nav.exceptions') }).click();
      const group = page.getByRole('region').filter({ hasText: 'closed for maintenance' });
      await group.getByRole('button', { name: t('exceptions.retryGroup') }).click();
      await operator.because('maintenance is over', 'act.retry');
      await engine.destination('emr', (one) => one.dead <= 1);
      const delivered = await engine.destination('emr', (one) => one.delivered >= BULK);
      assert.ok(delivered.delivered >= BULK);
    });

    test('a destination is paused and resumed', async () => {
      const { page, t } = operator;
      await operator.go('/destinations/trial/emr');
      await operator.button('destination.pause').click();
      await operator.because('the receiver moves house', 'act.pause');
      await page.getByText('the receiver moves house').first().waitFor();
      await send(engine.port, [result({ accession: 'ACC-PAUSED' })]);
      const held = await engine.destination('emr', (one) => one.pending === 1);
      assert.equal(held.paused.reason, 'the receiver moves house');
      await operator.button('destination.resume').click();
      await operator.because('it has moved', 'act.resume');
      await page.getByText(t('state.flowing')).waitFor();
      await engine.destination('emr', (one) => one.pending === 0);
    });

    test("a lane's head is skipped", async () => {
      lis.answer = (text) => (text.includes('ACC-BAD') ? ['AE', 'cannot be filed'] : ['AA', '']);
      await send(engine.port, [result({ mrn: 'LANE1', accession: 'ACC-BAD' }), result({ mrn: 'LANE1', accession: 'ACC-NEXT' })]);
      await engine.destination('lis', (one) => one.lanes.length === 1);
      const { page } = operator;
      await operator.go('/destinations/trial/lis');
      // What the receiver said to it, in words.
      await page.getByRole('row').filter({ hasText: 'AE' }).getByText('cannot be filed').waitFor();
      await operator.button('act.skip').click();
      await operator.because('the order was made by mistake', 'act.skip');
      await until('the next of the lane', () => lis.got.some((text) => text.includes('ACC-NEXT')));
      assert.ok(!lis.got.some((text) => text.includes('ACC-BAD')));
      await page.getByText(operator.t('destination.noLanes')).waitFor();
    });

    test('what a destination gets is compared with what was received', async () => {
      const { page } = operator;
      await page.getByRole('searchbox').first().fill('ACC-FIND');
      await page.keyboard.press('Enter');
      await page.getByRole('row').filter({ hasText: 'ACC-FIND' }).getByRole('link').click();
      await page.getByRole('tab', { name: 'trial/emr' }).click();
      const changed = page.locator('tr.changed');
      await changed.first().waitFor();
      const rows = await changed.allInnerTexts();
      assert.equal(rows.length, 2, 'two segments were changed');
      assert.ok(rows[0].includes('|MW|') && rows[0].includes('|EMR|'), rows[0]);
      assert.ok(rows[1].includes('made up') && rows[1].includes('checked'), rows[1]);
    });

    test('the fields have names, and a tree that the arrows move in', async () => {
      const { page, t } = operator;
      await page.getByRole('tab', { name: t('message.tree') }).click();
      const tree = page.getByRole('tree', { name: t('message.tree') });
      const sex = tree.getByRole('treeitem').filter({ hasText: 'PID-8' });
      await sex.getByText(language === 'zh' ? /性别|女/ : /Sex|Female/).first().waitFor();
      await tree.getByRole('treeitem').first().focus();
      await page.keyboard.press('ArrowLeft');
      assert.equal(await tree.getByRole('treeitem').first().getAttribute('aria-expanded'), 'false');
      await page.keyboard.press('ArrowDown');
      assert.match(await page.evaluate(() => document.activeElement.textContent), /PID/);
      await operator.accessible('the tree');
    });

    test('emergency access shows what the role hides, with a reason and a banner', async () => {
      const password = await engine.person('wang.fang', ['viewer']);
      const viewer = await (await Visitor.come(browser, engine, language)).signIn('wang.fang', password);
      const { page, t } = viewer;
      await viewer.go('/messages');
      await page.getByRole('row').filter({ hasText: '•••' }).first().waitFor();
      assert.equal(await page.getByText('ACC-FIND').count(), 0, 'values are masked');
      await page.getByRole('link', { name: 'wang.fang' }).click();
      await page.getByLabel(t('act.reason')).fill('resuscitation in room 4');
      await page.getByLabel(t('emergency.password')).fill(password);
      await viewer.button('emergency.do').click();
      await page.getByText(t('emergency.banner').split('{')[0]).waitFor();
      await page.getByRole('searchbox').first().fill('ACC-FIND');
      await page.keyboard.press('Enter');
      await page.getByRole('row').filter({ hasText: 'ACC-FIND' }).waitFor();
      const { records } = await engine.api('POST', '/audit/search', { action: 'session.emergency' });
      assert.equal(records[0].reason, 'resuscitation in room 4');
      await viewer.clean();
      await viewer.leave();
    });

    test('nothing ran that must not, and nothing was asked of another machine', async () => {
      await admin.clean();
      await operator.clean();
    });
  });
}
