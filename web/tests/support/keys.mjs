// Somebody without a mouse: a page is used with keys alone, and the focus is looked at after each of them.

import assert from 'node:assert/strict';

/** So many steps of the Tab key are enough on any page. */
const STEPS_MAX = 120;

export class Keys {
  constructor(visitor) {
    this.visitor = visitor;
    this.page = visitor.page;
    this.t = visitor.t;
  }

  press(...names) {
    return names.reduce((before, name) => before.then(() => this.page.keyboard.press(name)), Promise.resolve());
  }

  type(text) {
    return this.page.keyboard.type(text);
  }

  /** What has the focus, as it is seen. */
  focus() {
    return this.page.evaluate(() => {
      const one = document.activeElement;
      const { outlineStyle, outlineWidth } = getComputedStyle(one);
      const box = one.getBoundingClientRect();
      const covered = document.elementFromPoint(Math.max(0, box.left + Math.min(box.width, 8) / 2), Math.max(0, box.top + box.height / 2));
      return {
        name: (one.getAttribute('aria-label') ?? one.labels?.[0]?.textContent ?? one.textContent).trim().slice(0, 80),
        place: one === document.body ? 'body' : one.id || one.tagName.toLowerCase(),
        outline: outlineStyle !== 'none' && outlineWidth !== '0px',
        inside: box.width > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth,
        uncovered: covered === null || one.contains(covered) || covered.contains(one),
        dialog: one.closest('[role=dialog]') !== null,
      };
    });
  }

  /** Whether the focus is on it now. */
  on(wanted) {
    return wanted.evaluateAll((found) => found.includes(document.activeElement));
  }

  /** Goes on with a key until the focus is on what is wanted; each place on the way is seen. */
  async reach(wanted, key = 'Tab') {
    await wanted.first().waitFor();
    const way = [];
    for (let step = 0; step < STEPS_MAX; step += 1) {
      if (await this.on(wanted)) return;
      await this.press(key);
      const seen = await this.focus();
      way.push(seen.name.slice(0, 20));
      if (seen.place === 'body') continue;
      assert.ok(seen.outline && seen.inside && seen.uncovered, `the focus on “${seen.name}” is seen: ${JSON.stringify(seen)}`);
    }
    assert.fail(`${wanted} is not reached with ${key}: ${way.slice(-20).join(' → ')}`);
  }

  /** Goes to a control by its role and name, in the open dialog or on the page. */
  to(role, name, where = this.page, options = {}) {
    return this.reach(where.getByRole(role, { name, exact: true, ...options }));
  }

  field(name, where = this.page) {
    return this.reach(where.getByLabel(name, { exact: true }));
  }

  /** Goes to a page of the main navigation. */
  async visit(key) {
    await this.reach(this.page.getByRole('navigation', { name: this.t('app.nav') }).getByRole('link', { name: this.t(key), exact: true }));
    await this.press('Enter');
    assert.equal((await this.focus()).place, 'content', 'the focus goes to the page');
    await this.visitor.settled();
  }

  /** The open dialog has the focus, keeps it however often Tab is pressed, and Escape gives it back. */
  async trapped() {
    const opener = await this.page.evaluateHandle(() => document.activeElement);
    await this.press('Enter');
    const dialog = this.page.getByRole('dialog');
    await dialog.waitFor();
    for (const key of ['Tab', 'Shift+Tab'])
      for (let step = 0; step < 15; step += 1) {
        await this.press(key);
        assert.ok((await this.focus()).dialog, `${key} stays in the dialog`);
      }
    await this.press('Escape');
    await dialog.waitFor({ state: 'hidden' });
    assert.ok(await opener.evaluate((one) => one === document.activeElement), `the focus is back where it was and not on ${JSON.stringify(await this.focus())}`);
  }

  /** Gives the reason in the open dialog and does the act; afterwards the focus is somewhere on the page. */
  async because(reason, act) {
    const dialog = this.page.getByRole('dialog');
    await dialog.waitFor();
    await this.field(this.t('act.reason'), dialog);
    await this.type(reason);
    await this.to('button', this.t(act), dialog);
    await this.press('Enter');
    await dialog.waitFor({ state: 'hidden' }).catch(async (error) => {
      throw new Error(`${error.message}; it says “${await dialog.getByRole('alert').innerText()}”`);
    });
  }

  /** Searches from wherever the focus is; afterwards it is at the results, and the next step is the first of them. */
  async find(value) {
    const row = this.page.getByRole('row').filter({ hasText: value });
    await this.press('/');
    assert.ok(await this.on(this.page.getByRole('searchbox').first()), 'the search box has the focus');
    await this.press('Control+a');
    await this.type(value);
    await this.press('Enter');
    await row.first().waitFor();
    await this.page.waitForFunction(() => document.activeElement?.id === 'results');
    await this.press('Tab');
    assert.ok(await this.on(row.getByRole('link')), `the first result is next, not ${JSON.stringify(await this.focus())}`);
  }

  /** The focus is on no thing that has gone. */
  async kept() {
    const seen = await this.focus();
    assert.notEqual(seen.place, 'body', 'the focus is not lost');
  }
}
