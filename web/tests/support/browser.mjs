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

/** Runs in each page before anything of it: tells of all markup that the dashboard itself never makes, whether or not
 * the policy stops what it would do, and of whatever the policy stops. */
function watch() {
  window.__ran = { push: (text) => void window.__noted(text) };
  document.addEventListener('securitypolicyviolation', (event) => window.__ran.push(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
  const NEVER = 'script:not([src^="/assets/"]), img, iframe, frame, object, embed, base, video, audio, source, math, template, portal, b, i, meta[http-equiv], [srcdoc], [style*="url("], a[href^="javascript:" i], svg script, foreignObject';
  const strange = (one) => one.matches(NEVER) || one.getAttributeNames().some((name) => name.startsWith('on')) || one.shadowRoot !== null;
  const look = (node) => {
    if (node.nodeType !== Node.ELEMENT_NODE) return;
    for (const one of [node, ...node.querySelectorAll('*')]) if (strange(one)) window.__ran.push(`markup: ${one.outerHTML.slice(0, 120)}`);
  };
  new MutationObserver((changes) => {
    for (const change of changes) {
      if (change.type === 'attributes') look(change.target);
      for (const node of change.addedNodes) look(node);
    }
  }).observe(document, { childList: true, subtree: true, attributes: true });
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
    await visitor.context.addInitScript(watch);
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

  /** Nothing ran that must not, no markup came from a text, nothing was asked of other machines. */
  async clean(others = [], where = 'the pages') {
    // What a page has just told is here after another answer of it.
    await this.page.evaluate(() => new Promise((done) => setTimeout(done)));
    assert.deepEqual([...this.faults, ...this.ran], [], where);
    const known = [this.engine.url, 'about:blank', 'data:', ...others];
    const strange = [...this.urls].filter((url) => !known.some((one) => url.startsWith(one)));
    assert.deepEqual(strange, [], 'all requests go to the engine');
  }

  /** Everything this browser keeps, by the place where it is kept. */
  async kept() {
    const here = await this.page.evaluate(async () => {
      const wait = (request) => new Promise((done, failed) => {
        request.onsuccess = () => done(request.result);
        request.onerror = () => failed(request.error);
      });
      const databases = {};
      for (const { name } of await indexedDB.databases()) {
        const database = await wait(indexedDB.open(name));
        for (const store of database.objectStoreNames) databases[`${name}/${store}`] = await wait(database.transaction(store).objectStore(store).getAll());
      }
      const cached = {};
      for (const name of (await globalThis.caches?.keys()) ?? []) {
        const cache = await caches.open(name);
        for (const request of await cache.keys()) cached[request.url] = await (await cache.match(request)).text();
      }
      const workers = (await navigator.serviceWorker?.getRegistrations()) ?? [];
      const entries = performance.getEntries().map((one) => one.name);
      return { localStorage: { ...localStorage }, sessionStorage: { ...sessionStorage }, IndexedDB: databases, caches: cached, 'service workers': workers.map((one) => one.scope), 'timings and titles': [document.title, document.referrer, window.name, JSON.stringify(history.state), ...entries] };
    });
    return { ...here, cookies: await this.context.cookies(), addresses: [...this.urls] };
  }

  /** All of that as one text. */
  async traces() {
    return JSON.stringify(await this.kept());
  }

  async leave() {
    await this.context.close();
  }
}
