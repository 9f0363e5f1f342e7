// Debian's Chromium, and what is looked for on every page.

import { AxeBuilder } from '@axe-core/playwright';
import { readdirSync, readFileSync } from 'node:fs';
import { chromium } from 'playwright-core';
import assert from 'node:assert/strict';
import { PATIENCE_MS, until } from './engine.mjs';

const ARGUMENTS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'];
export const LANGUAGES = ['en', 'zh'];

export function launch() {
  return chromium.launch({ executablePath: process.env.MEDWAY_CHROMIUM ?? '/usr/bin/chromium', args: ARGUMENTS });
}

/** The texts of a language, as the page has them. */
export function texts(language) {
  const folder = new URL('../../src/i18n/', import.meta.url);
  const found = new Map();
  for (const name of readdirSync(folder).filter((name) => name.startsWith(language)))
    for (const [, key, value] of readFileSync(new URL(name, folder), 'utf8').matchAll(/^  '([^']+)': (["'].*["']),$/gm))
      found.set(key, value.slice(1, -1).replace(/\\(.)/g, '$1'));
  return (key, values = {}) => {
    assert.ok(found.has(key), `the text ${key} is there in ${language}`);
    return found.get(key).replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));
  };
}

/** Cookies of people who have signed in. */
const sessions = new Map();

/** A person's browser: its page, and everything that must not happen there. */
export class Visitor {
  faults = [];
  urls = new Set();
  said = [];
  /** What ran that must not, on whatever page. */
  ran = [];

  static async come(browser, engine, language, options = {}) {
    const visitor = new Visitor();
    visitor.engine = engine;
    visitor.t = texts(language);
    visitor.context = await browser.newContext({ locale: language === 'zh' ? 'zh-CN' : 'en-GB', viewport: { width: 1440, height: 900 }, ...options });
    // It is told to the test at once: a page that is left takes nothing with it.
    await visitor.context.exposeBinding('__noted', (_, text) => void visitor.ran.push(text));
    await visitor.context.addInitScript(() => {
      window.__ran = { push: (text) => void window.__noted(text) };
      document.addEventListener('securitypolicyviolation', (event) => window.__ran.push(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
    });
    const page = (visitor.page = await visitor.context.newPage());
    page.setDefaultTimeout(PATIENCE_MS);
    page.on('dialog', (dialog) => {
      visitor.faults.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on('pageerror', (error) => visitor.faults.push(`error: ${error.stack}`));
    page.on('console', (message) => visitor.said.push(message.text()));
    page.on('request', (request) => visitor.urls.add(request.url()));
    page.on('framenavigated', (frame) => visitor.urls.add(frame.url()));
    page.on('popup', (other) => visitor.faults.push(`window: ${other.url()}`));
    return visitor;
  }

  /** Signs in; with a session of before where there is one, for each password costs the engine a core for a while. */
  async signIn(user, password) {
    const { page, t } = this;
    const before = sessions.get(`${this.engine.url} ${user}`);
    if (before) {
      await this.context.addCookies(before);
      await page.goto(`${this.engine.url}/`);
      await page.getByRole('navigation', { name: t('app.nav') }).waitFor();
      return this;
    }
    await page.goto(`${this.engine.url}/`);
    await page.getByLabel(t('signin.user'), { exact: true }).fill(user);
    await page.getByLabel(t('signin.password'), { exact: true }).fill(password);
    await page.getByRole('button', { name: t('signin.do') }).click();
    await page.getByRole('navigation', { name: t('app.nav') }).waitFor();
    sessions.set(`${this.engine.url} ${user}`, await this.context.cookies());
    return this;
  }

  /** Goes to a page by its address, inside the page as a person's click does, and waits for its heading. */
  async go(path) {
    await this.page.goto(this.engine.url + path);
    await this.page.getByRole('heading', { level: 1 }).first().waitFor();
    await this.settled();
  }

  /** Nothing is loading any more. */
  async settled() {
    const loading = () => this.page.evaluate((text) => [...document.querySelectorAll('[role=status]')].some((one) => one.textContent === text && one.checkVisibility()), this.t('app.loading'));
    await until(`${this.page.url()} to be loaded`, async () => !(await loading())).catch(async (error) => {
      throw new Error(`${error.message}; ${JSON.stringify([this.faults, this.said.slice(-5)])}\n${await this.page.locator('main').innerText()}`);
    });
  }

  /** Finds a message by a key and opens it. */
  async open(value) {
    await this.page.getByRole('searchbox').first().fill(value);
    await this.page.keyboard.press('Enter');
    await this.page.getByRole('row').filter({ hasText: value }).getByRole('link').click();
    await this.page.getByRole('heading', { name: this.t('message.deliveries') }).waitFor();
  }

  button(key, values) {
    return this.page.getByRole('button', { name: this.t(key, values), exact: true });
  }

  /** Gives the reason in the open dialog and does the act. */
  async because(reason, act) {
    const dialog = this.page.getByRole('dialog');
    await dialog.getByLabel(this.t('act.reason')).fill(reason);
    await dialog.getByRole('button', { name: this.t(act), exact: true }).click();
    await dialog.waitFor({ state: 'hidden' });
  }

  /** No serious finding of axe. */
  async accessible(where) {
    const { violations } = await new AxeBuilder({ page: this.page }).withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']).analyze();
    const serious = violations.filter((one) => ['serious', 'critical'].includes(one.impact));
    const told = serious.map((one) => `${one.id}: ${one.help}\n${one.nodes.map((node) => `  ${node.html}\n  ${node.failureSummary}`).join('\n')}`);
    assert.deepEqual(told, [], `${where} is accessible`);
  }

  /** Nothing ran that must not, nothing was asked of other machines. */
  async clean() {
    assert.deepEqual([...this.faults, ...this.ran], []);
    const strange = [...this.urls].filter((url) => !url.startsWith(this.engine.url) && url !== 'about:blank' && !url.startsWith('data:'));
    assert.deepEqual(strange, [], 'all requests go to the engine');
  }

  /** Everything this browser keeps: storage and addresses. */
  async traces() {
    const kept = await this.page.evaluate(() => (async () => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, document.title, await indexedDB.databases(), (await globalThis.caches?.keys()) ?? []]))());
    return [kept, ...this.urls].join('\n');
  }

  async leave() {
    await this.context.close();
  }
}
