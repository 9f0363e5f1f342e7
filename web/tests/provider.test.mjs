// Signing in by the hospital's own provider, from the button on the page to the page that follows, in both languages.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { LANGUAGES, launch, Visitor } from './support/browser.mjs';
import { Engine, Receiver, until } from './support/engine.mjs';
import { Provider } from './support/provider.mjs';

describe('the provider', () => {
  let browser, emr, provider, engine;
  before(async () => {
    [browser, emr, provider] = [await launch(), await Receiver.open(), await Provider.open()];
    engine = await Engine.prepare({ emr, lis: emr });
    engine.write('engine.yaml', engine.read('engine.yaml') + provider.settings(engine.url));
    await engine.start();
    // Nobody is let in before there is a first administrator.
    await engine.person('admin', ['security_admin']);
  });
  after(async () => {
    await browser?.close();
    await engine?.stop();
    for (const one of [emr, provider]) one?.close();
  });

  for (const language of LANGUAGES)
    test(`lets in who has a role, and nobody else, in ${language}`, async () => {
      const visitor = await Visitor.come(browser, engine, language);
      const { page, t } = visitor;
      const leave = async (answer) => {
        await page.getByRole('link', { name: t('signin.by', { provider: 'Hospital account' }) }).click();
        await page.getByRole('heading', { name: 'The provider' }).waitFor();
        await page.getByRole('button', { name: answer, exact: true }).click();
      };
      await page.goto(engine.url);
      await page.getByRole('link', { name: t('signin.by', { provider: 'Hospital account' }) }).waitFor();
      await visitor.accessible('the sign-in with a provider');

      // Who says no at the provider, and who has none of the groups, is told so and comes back.
      const records = async () => (await engine.api('POST', '/audit/search', { action: 'session.begin', limit: 1 })).records[0];
      for (const [answer, groups] of [['It is not me', ['medway-operators']], ['It is me', ['kitchen']]]) {
        provider.claims = { ...provider.claims, groups };
        await leave(answer);
        await page.getByRole('heading', { name: '未登录' }).waitFor();
        assert.equal((await records()).outcome, 'denied');
        await visitor.accessible('the page that says why not');
        await page.getByRole('link', { name: 'Medway' }).click();
        await page.getByRole('heading', { name: t('signin.title') }).waitFor();
      }

      provider.claims = { ...provider.claims, groups: ['medway-operators', 'kitchen'] };
      await leave('It is me');
      await page.getByRole('navigation', { name: t('app.nav') }).waitFor();
      await page.getByRole('heading', { level: 1, name: t('now.title') }).waitFor();
      assert.deepEqual([new URL(page.url()).pathname, new URL(page.url()).search], ['/', ''], 'neither code nor state stays in the address');
      await page.getByRole('link', { name: 'li', exact: true }).click();
      await page.getByText(t('permission.resend')).waitFor();
      assert.ok(!(await visitor.traces()).includes('eyJ'), 'no token is kept in the browser');
      assert.equal(await page.evaluate(() => document.cookie), '', 'no script sees the session');
      assert.deepEqual([(await records()).actor, (await records()).outcome], ['user:li', 'done']);

      await visitor.button('app.signOut').click();
      await page.getByRole('heading', { name: t('signin.title') }).waitFor();
      await page.reload();
      await page.getByRole('heading', { name: t('signin.title') }).waitFor();
      await until('the session to be over', async () => (await page.request.get(`${engine.url}/api/v1/session`)).status() === 401);
      await visitor.clean([provider.url]);
      await visitor.leave();
    });
});
