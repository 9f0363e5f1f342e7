// What a page shows of a channel's past and of what is not there: versions, refused files, the interface document,
// destinations that no channel has any more, empty lists, an engine that does not answer; and each dialog.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { LANGUAGES, launch, Visitor } from './support/browser.mjs';
import { Engine, Receiver, result, send, until } from './support/engine.mjs';

const ROLES = ['operator', 'analyst', 'releaser', 'security_admin', 'auditor', 'system_admin'];
const CHINESE = /[\u4e00-\u9fff]/;
let browser;
before(async () => (browser = await launch()));
after(() => browser?.close());

for (const language of LANGUAGES) {
  describe(`what is shown in ${language}`, () => {
    let emr, lis, engine, person;
    before(async () => {
      [emr, lis] = [await Receiver.open(), await Receiver.open()];
      engine = await (await Engine.prepare({ emr, lis })).start();
      const password = await engine.person('li.na', ROLES);
      person = await (await Visitor.come(browser, engine, language)).signIn('li.na', password);
    });
    after(async () => {
      await engine?.stop();
      for (const one of [emr, lis]) one?.close();
    });

    test('empty lists say so', async () => {
      const { page, t } = person;
      for (const [path, text] of [['/messages', 'messages.empty'], ['/stuck', 'exceptions.none'], ['/live', 'live.none'], ['/subscriptions', 'subscriptions.none'], ['/audit?actor=user:nobody', 'audit.none'], ['/channels?q=nothing-like-it', 'channels.noMatch'], ['/users?q=nobody', 'users.none']]) {
        await person.go(path);
        await page.getByText(t(text)).waitFor();
      }
      await person.go('/');
      await page.getByText(t('now.allFlows')).waitFor();
    });

    test('a page says that the engine does not answer, and goes on when asked again', async () => {
      const { page, t } = person;
      for (const [path, call, shown] of [['/channels', '**/api/v1/channels', 'trial'], ['/stuck', '**/api/v1/exceptions/groups', t('exceptions.none')], ['/messages', '**/api/v1/messages/search', t('messages.empty')]]) {
        await page.route(call, (route) => route.abort());
        await page.goto(engine.url + path);
        const alert = page.getByRole('alert').filter({ hasText: t('app.noAnswer') });
        await alert.waitFor();
        await person.accessible(`${path} without an answer`);
        await page.unroute(call);
        // A page that asks by itself goes on by itself; the other is asked by the person.
        if (path === '/messages') await alert.getByRole('button', { name: t('app.retry') }).click();
        await page.getByText(shown).first().waitFor();
        assert.equal(await alert.count(), 0);
      }
    });

    test('each dialog is accessible, light and dark', async () => {
      await send(engine.port, [result({ accession: 'ACC-DIALOG' })]);
      const { page, t } = person;
      const found = await until('the message', async () => (await engine.api('POST', '/messages/search', { value: 'ACC-DIALOG' })).messages[0]);
      const dialogs = [
        ['/', () => page.getByRole('button', { name: t('keys.title') })],
        ['/channels/trial', () => person.button('channel.stop')],
        ['/destinations/trial/emr', () => person.button('destination.pause')],
        [`/messages/${found.id}`, () => person.button('act.resend')],
        ['/users', () => person.button('users.add')],
        ['/users', () => person.button('tokens.add')],
        ['/users', () => page.getByRole('button', { name: 'li.na' })],
        ['/system', () => person.button('system.reload')],
      ];
      for (const [index, [path, opener]] of dialogs.entries()) {
        // What is light in one language is dark in the other.
        const colorScheme = (index + LANGUAGES.indexOf(language)) % 2 ? 'dark' : 'light';
        await page.emulateMedia({ colorScheme });
        await person.go(path);
        await opener().click();
        await page.getByRole('dialog').waitFor();
        await person.accessible(`a dialog of ${path}, ${colorScheme}`);
        // It closes with a key, and the focus is where it was.
        await page.keyboard.press('Escape');
        await page.getByRole('dialog').waitFor({ state: 'hidden' });
        await until('the focus to be back', async () => opener().evaluate((one) => one === document.activeElement));
      }
    });

    test('a version is compared with the one in force', async () => {
      const file = engine.read('channels/trial.yaml');
      engine.write('channels/trial.yaml', file.replace('NTE-3: checked', 'NTE-3: seen by the ward'));
      await engine.api('POST', '/reload', { reason: 'the ward asked for it' });
      const { page, t } = person;
      await person.go('/channels/trial?tab=versions');
      const rows = page.getByRole('table', { name: t('channel.versions') }).getByRole('row');
      await rows.filter({ hasText: 'the ward asked for it' }).filter({ hasText: t('channel.inForce') }).waitFor();
      // Who put the first one in force is the engine itself, in words.
      await rows.filter({ hasText: t('actor.engine') }).filter({ hasText: t('reason.start') }).waitFor();
      await rows.getByRole('button', { name: t('channel.compare') }).click();
      const changed = page.locator('tr.changed');
      await changed.waitFor();
      assert.deepEqual(await changed.locator('pre').allInnerTexts(), ['    change: [{set: {MSH-5: EMR, NTE-3: checked}}]', '    change: [{set: {MSH-5: EMR, NTE-3: seen by the ward}}]']);
      await page.getByText(t('message.changed', { count: 1 })).waitFor();
      await page.getByRole('checkbox', { name: t('message.onlyChanged') }).check();
      await until('the other lines to be gone', async () => (await page.getByRole('tabpanel').getByRole('table').last().locator('tbody tr').count()) === 1);
      await person.accessible('two versions');
    });

    test('a file that is refused says what is wrong, in the language of the page', async () => {
      const file = engine.read('channels/trial.yaml');
      engine.write('channels/trial.yaml', file.replace('when: MSH-9.2 is A01', 'when: MSH-9.2 = A01'));
      await engine.api('POST', '/reload', { reason: 'a mistake' }).catch(() => undefined);
      const { page, t } = person;
      await person.go('/channels/trial?tab=file');
      const report = page.getByRole('alert').filter({ hasText: 'E0302' });
      await report.waitFor();
      const lines = (await report.innerText()).split('\n');
      // The marked line is the file's own; what is said of it is in words of the page.
      assert.ok(lines.some((line) => line.includes('when: MSH-9.2 = A01')));
      const said = lines.filter((line) => line.startsWith(`${t('severity.error').toLowerCase()}[`) || line.includes('= '));
      assert.ok(said.length > 0);
      if (language === 'zh') {
        assert.ok(lines[0].startsWith('错误[E0302]：此处不使用 ='), lines[0]);
        assert.match(lines.find((line) => line.includes('提示：')) ?? '', /请写 is/);
        assert.ok(!/\b(hint|more|error)\b/.test(lines.join('\n').replace(/medway explain|--fix/g, '')), lines.join('\n'));
      } else assert.ok(lines[0].startsWith('error[E0302]: = is not used here'), lines[0]);
      await person.go('/');
      await page.getByRole('listitem').filter({ hasText: 'trial.yaml' }).filter({ hasText: 'E0302' }).waitFor();
      engine.write('channels/trial.yaml', file);
      await engine.api('POST', '/reload', { reason: 'mended' });
    });

    test('the interface document is in the language of the page, and follows it', async () => {
      const { page, t } = person;
      await person.go('/channels/trial?tab=document');
      const document = page.getByRole('article');
      await document.getByRole('row').filter({ hasText: 'PID-3.1' }).first().waitFor();
      const text = await document.innerText();
      assert.equal(CHINESE.test(text.replace('试验', '')), language === 'zh', text);
      await page.getByLabel(t('app.language')).selectOption(language === 'zh' ? 'en' : 'zh');
      await until('the document in the other language', async () => CHINESE.test((await document.innerText()).replace('试验', '')) === (language !== 'zh'));
      await page.getByRole('navigation').first().waitFor();
      await page.locator('header select').first().selectOption(language);
      await document.getByRole('row').filter({ hasText: 'PID-3.1' }).first().waitFor();
      await person.accessible('the document');
    });

    test('a refused message has its reason in words', async () => {
      const answers = await send(engine.port, ['MSH|^~\\&|LAB|MAIN|MW|MAIN|2026||ORU^R01|X1|P|2.5.1\rMSH|^~\\&|LAB|MAIN|MW|MAIN|2026||ORU^R01|X2|P|2.5.1\r']);
      assert.match(answers[0], /^A[ER]$/);
      const { page, t } = person;
      await person.go('/channels/trial');
      const said = page.locator('.notice').filter({ hasText: t('channel.lastRefusal') });
      await said.waitFor();
      const reason = (await said.innerText()).slice(t('channel.lastRefusal').length + 1);
      assert.equal(CHINESE.test(reason), language === 'zh', reason);
    });

    test('a destination that was taken away is shown with what waits there', async () => {
      lis.answer = () => ['AE', 'closed'];
      await send(engine.port, [result({ accession: 'ACC-GONE' })]);
      await engine.destination('lis', (one) => one.held > 0);
      const file = engine.read('channels/trial.yaml');
      engine.write('channels/trial.yaml', file.replace(/ {2}lis:\n[\s\S]*?(?= {2}billing:)/, ''));
      await engine.api('POST', '/reload', { reason: 'the LIS is replaced' });
      const { page, t } = person;
      await person.go('/');
      const item = page.getByRole('listitem').filter({ hasText: 'trial/lis' });
      await item.getByText(t('state.removed')).waitFor();
      await item.getByText(t('now.first.removed')).waitFor();
      await person.accessible('a destination that was taken away');
      await item.getByRole('link', { name: 'trial/lis' }).click();
      await page.getByRole('heading', { level: 1, name: 'lis' }).waitFor();
      // Its message is decided here as before.
      await person.button('act.skip').first().click();
      await person.because('the LIS is replaced', 'act.skip');
      await person.go('/');
      await until('nothing to wait there any more', async () => (await page.getByRole('listitem').filter({ hasText: 'trial/lis' }).count()) === 0);
    });

    test('nothing ran that must not', () => person.clean());
  });
}
