// How is a form of the page filled, by the names that its fields have?

import type { Locator, Page } from '@playwright/test';
import { expect } from './house';

/** A form that is open, and how it is filled. */
export class Form {
  readonly page: Page;
  readonly at: Locator;

  constructor(page: Page, at: Locator) {
    this.page = page;
    this.at = at;
  }

  /** The part of the form below a heading, opened when it is not yet. */
  async part(name: string): Promise<Form> {
    const part = this.at.getByRole('group', { name, exact: true }).first();
    const closed = this.at.getByRole('button', { name, exact: true, expanded: false }).first();
    await expect(part.or(closed).first()).toBeVisible();
    if (!(await part.isVisible())) await closed.click();
    return new Form(this.page, part);
  }

  async choose(label: string, option: string): Promise<void> {
    await this.at.getByRole('combobox', { name: label, exact: true }).first().click();
    await this.page.getByRole('option', { name: option, exact: true }).click();
  }

  async put(label: string, text: string): Promise<void> {
    const field = this.at.getByLabel(label, { exact: true }).first();
    await field.fill(text);
    await field.press('Tab');
  }

  /** Values of a field that takes several, instead of those that are there. */
  async members(label: string, ...values: string[]): Promise<void> {
    const field = this.at.getByRole('combobox', { name: label, exact: true }).first();
    await field.focus();
    await field.press('Backspace');
    for (const value of values) {
      await field.fill(value);
      await field.press('Enter');
    }
  }

  /** An entry of a list, whose own form is opened. */
  async entry(list: string, name: string): Promise<Form> {
    const part = await this.part(list);
    await part.at.getByLabel(`Add to ${list}`).last().fill(name);
    await part.at.getByRole('button', { name: 'Add', exact: true }).last().click();
    return new Form(this.page, part.at.getByRole('region', { name, exact: true }));
  }

  async tab(name: string): Promise<void> {
    await this.at.getByRole('tab', { name, exact: true }).click();
  }
}
