// The ten tasks people come for, with the keyboard alone, in both languages: no mouse, no focus by script.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { LANGUAGES, launch, Visitor } from './support/browser.mjs';
import { Engine, Receiver, result, send, until } from './support/engine.mjs';
import { Keys } from './support/keys.mjs';

const BULK = 500;
const PHRASE = 'a long made-up phrase';
let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

for (const language of LANGUAGES) {
  describe(`keyboard in ${language}`, () => {
    let emr, lis, engine, admin, viewer;
    const come = async () => {
      const visitor = await Visitor.come(browser, engine, language);
      await visitor.context.addInitScript(() => {
        for (const name of ['mousedown', 'pointerdown', 'wheel', 'touchstart']) addEventListener(name, () => window.__ran.push(`a ${name}`), true);
      });
      return new Keys(visitor);
    };
    before(async () => {
      [emr, lis] = [await Receiver.open(), await Receiver.open()];
      engine = await (await Engine.prepare({ emr, lis })).start();
      admin = await come();
    });
    after(async () => {
      await engine?.stop();
      for (const one of [emr, lis]) one?.close();
    });

    test('first set-up', async () => {
      const { page, t } = admin;
      await page.goto(await engine.invitation());
      await page.getByRole('heading', { name: t('setup.title') }).waitFor();
      assert.ok(await admin.on(page.getByLabel(t('signin.user'))), 'typing may begin at once');
      await admin.type('admin');
      await admin.field(t('signin.password'));
      await admin.type(PHRASE);
      await admin.press('Enter');
      await page.getByRole('heading', { name: t('now.title') }).waitFor();
      assert.equal((await admin.focus()).place, 'content');
      // The first step from the top leads past the navigation.
      await page.reload();
      await page.getByRole('heading', { name: t('now.title') }).waitFor();
      await admin.to('link', t('app.skip'));
      await admin.press('Enter');
      assert.equal((await admin.focus()).place, 'content');
    });

    test('add a user with a role', async () => {
      const { page, t } = admin;
      await admin.visit('nav.users');
      await admin.to('button', t('users.add'));
      await admin.trapped();
      await admin.press('Enter');
      const dialog = page.getByRole('dialog');
      await admin.field(t('signin.user'), dialog);
      await admin.type('li.na');
      await admin.field(t('users.password'), dialog);
      await admin.type(PHRASE);
      const box = (role) => dialog.getByRole('checkbox', { name: t(`role.${role}`) });
      await admin.reach(box('viewer'));
      await admin.press('Space');
      for (const role of ['operator', 'analyst']) {
        await admin.reach(box(role));
        await admin.press('Space');
      }
      await admin.to('button', t('users.add'), dialog);
      await admin.press('Enter');
      const row = page.getByRole('row').filter({ hasText: 'li.na' });
      await row.getByText(t('role.operator')).waitFor();
      await dialog.waitFor({ state: 'hidden' });
      await admin.kept();
      assert.ok(!(await row.innerText()).includes(t('role.viewer')));
      // One person goes, another comes, at the same screen.
      await admin.to('button', t('app.signOut'), page);
      await admin.press('Enter');
      await page.getByRole('heading', { name: t('signin.title') }).waitFor();
      await until('the focus in the form', () => admin.on(page.getByLabel(t('signin.user'), { exact: true })));
      await admin.type('li.na');
      await admin.field(t('signin.password'));
      await admin.type(PHRASE);
      await admin.press('Enter');
      await page.getByRole('navigation', { name: t('app.nav') }).waitFor();
      await until('the focus on the page', async () => (await admin.focus()).place === 'content');
    });

    test('find by accession from any page', async () => {
      assert.deepEqual(await send(engine.port, [result({ accession: 'ACC-FIND' }), result()]), ['AA', 'AA']);
      const { page, t } = admin;
      for (const place of ['nav.channels', 'nav.exceptions', 'nav.live', 'nav.system', 'nav.messages']) {
        await admin.visit(place);
        await admin.find('ACC-FIND');
      }
      await admin.press('Enter');
      await page.getByRole('heading', { name: t('message.deliveries') }).waitFor();
      assert.equal((await admin.focus()).place, 'content');
      // Nothing found is told where the focus is.
      await admin.press('/');
      await admin.type('ACC-NOWHERE');
      await admin.press('Enter');
      await page.getByText(t('messages.none')).waitFor();
      await page.waitForFunction(() => document.activeElement?.id === 'results');
    });

    test('why was it not delivered', async () => {
      emr.answer = () => ['AE', 'unknown ward'];
      await send(engine.port, [result({ accession: 'ACC-WHY' })]);
      await engine.destination('emr', (one) => one.dead === 1);
      const { page, t } = admin;
      await admin.find('ACC-WHY');
      await admin.press('Enter');
      const billing = page.getByRole('region', { name: 'trial/billing' });
      await page.getByRole('region', { name: 'trial/emr' }).getByText('unknown ward').first().waitFor();
      await admin.reach(billing.locator('summary'));
      await admin.press('Enter');
      await billing.getByText(t('why.fails', { value: 'R01' })).waitFor();
    });

    test('resend one', async () => {
      emr.answer = () => ['AA', ''];
      const { page, t } = admin;
      const original = page.url();
      await admin.press('r');
      const dialog = page.getByRole('dialog');
      await dialog.waitFor();
      await admin.press('Escape');
      await dialog.waitFor({ state: 'hidden' });
      await admin.kept();
      await admin.to('button', t('act.resend'), page);
      await admin.trapped();
      await admin.press('Enter');
      for (const name of ['trial/lis']) {
        await admin.reach(dialog.getByRole('checkbox', { name }));
        await admin.press('Space');
      }
      await admin.because('the ward exists now', 'act.resend');
      await page.getByText('the ward exists now').waitFor();
      assert.notEqual(page.url(), original);
      await until('the focus on the new message', async () => (await admin.focus()).place === 'content');
      await page.getByRole('region', { name: 'trial/emr' }).getByText(t('state.delivered')).waitFor();
    });

    test(`bulk resend of ${BULK} dead letters`, async () => {
      emr.answer = () => ['AE', 'closed for maintenance'];
      await send(engine.port, Array.from({ length: BULK }, (_, index) => result({ mrn: `B${index}` })));
      await engine.destination('emr', (one) => one.dead >= BULK);
      emr.answer = () => ['AA', ''];
      const { page, t } = admin;
      await admin.visit('nav.exceptions');
      const group = page.getByRole('region').filter({ hasText: 'closed for maintenance' });
      await admin.to('button', t('exceptions.retryGroup'), group);
      await admin.trapped();
      await admin.press('Enter');
      await admin.field(t('jobs.rate'), page.getByRole('dialog'));
      await admin.type('1000');
      await admin.because('maintenance is over', 'act.retry');
      await engine.destination('emr', (one) => one.dead <= 1 && one.pending === 0);
      // Its button has gone with the group; the focus has not.
      await group.waitFor({ state: 'hidden' });
      await until('the focus to be somewhere', async () => (await admin.focus()).place !== 'body');
    });

    test('pause and resume a destination', async () => {
      const { page, t } = admin;
      await admin.visit('nav.channels');
      await admin.to('link', 'emr', page);
      await admin.press('Enter');
      await page.getByRole('heading', { level: 1, name: 'emr' }).waitFor();
      await admin.to('button', t('destination.pause'), page);
      await admin.trapped();
      await admin.press('Enter');
      await admin.because('the receiver moves house', 'act.pause');
      await page.getByText('the receiver moves house').first().waitFor();
      // The button beneath the focus has become another.
      await until('the focus on what undoes it', () => admin.on(page.getByRole('button', { name: t('destination.resume'), exact: true })));
      await admin.press('Enter');
      await admin.because('it has moved', 'act.resume');
      await page.getByText(t('state.flowing')).waitFor();
      await engine.destination('emr', (one) => !one.paused);
      await until('the focus on what undoes it', () => admin.on(page.getByRole('button', { name: t('destination.pause'), exact: true })));
    });

    test("skip a lane's head", async () => {
      lis.answer = (text) => (text.includes('ACC-BAD') ? ['AE', 'cannot be filed'] : ['AA', '']);
      await send(engine.port, [result({ mrn: 'LANE1', accession: 'ACC-BAD' }), result({ mrn: 'LANE1', accession: 'ACC-NEXT' })]);
      await engine.destination('lis', (one) => one.lanes.length === 1);
      const { page, t } = admin;
      await admin.visit('nav.channels');
      await admin.to('link', 'lis', page);
      await admin.press('Enter');
      await page.getByRole('heading', { level: 1, name: 'lis' }).waitFor();
      await admin.to('button', t('act.skip'), page);
      await admin.press('Enter');
      await admin.because('the order was made by mistake', 'act.skip');
      await until('the next of the lane', () => lis.got.some((text) => text.includes('ACC-NEXT')));
      assert.ok(!lis.got.some((text) => text.includes('ACC-BAD')));
      await page.getByText(t('destination.noLanes')).waitFor();
      await until('the focus to be somewhere', async () => (await admin.focus()).place !== 'body');
    });

    test('read a diff', async () => {
      const { page, t } = admin;
      await admin.find('ACC-FIND');
      await admin.press('Enter');
      await page.getByRole('heading', { name: t('message.deliveries') }).waitFor();
      await admin.reach(page.getByRole('tab', { name: t('message.tree') }));
      await admin.reach(page.getByRole('tab', { name: 'trial/emr' }), 'ArrowRight');
      const changed = page.locator('tr.changed');
      await changed.first().waitFor();
      assert.equal(await changed.count(), 2);
      await admin.reach(page.getByRole('checkbox', { name: t('message.onlyChanged') }));
      await admin.press('Space');
      await until('the changed lines alone', async () => (await page.locator('tr:has(td.sign)').count()) === 2);
      // What scrolls has the focus, so that arrows scroll it.
      await admin.reach(page.getByRole('tab', { name: 'trial/emr' }), 'Shift+Tab');
      await admin.reach(page.getByRole('tab', { name: t('message.raw') }), 'ArrowLeft');
      await page.locator('pre').filter({ hasText: 'ACC-FIND' }).first().waitFor();
    });

    test('break glass', async () => {
      await engine.person('wang.fang', ['viewer']);
      viewer = await come();
      const { page, t } = viewer;
      await page.goto(engine.url);
      await page.getByRole('heading', { name: t('signin.title') }).waitFor();
      await viewer.type('wang.fang');
      await viewer.field(t('signin.password'));
      await viewer.type('made-up wang.fang phrase');
      await viewer.press('Enter');
      await page.getByRole('navigation', { name: t('app.nav') }).waitFor();
      await viewer.reach(page.getByRole('link', { name: 'wang.fang' }));
      await viewer.press('Enter');
      await viewer.field(t('act.reason'));
      await viewer.type('resuscitation in room 4');
      await viewer.field(t('emergency.password'));
      await viewer.type('made-up wang.fang phrase');
      await viewer.to('button', t('emergency.do'), page);
      await viewer.press('Enter');
      await page.getByText(t('emergency.banner').split('{')[0]).waitFor();
      await viewer.kept();
      await viewer.reach(page.getByRole('link', { name: t('nav.messages'), exact: true }));
      await viewer.press('Enter');
      await viewer.find('ACC-FIND');
      const { records } = await engine.api('POST', '/audit/search', { action: 'session.emergency' });
      assert.equal(records[0].reason, 'resuscitation in room 4');
    });

    test('help, and no mouse was there', async () => {
      const { page, t } = admin;
      await admin.press('?');
      await page.getByRole('dialog').getByText(t('keys.move')).waitFor();
      await admin.press('Escape');
      await page.getByRole('dialog').waitFor({ state: 'hidden' });
      await admin.kept();
      for (const one of [admin, viewer]) await one.visitor.clean();
    });
  });
}
