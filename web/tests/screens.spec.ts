// Is every screen there, accessible in both themes, without a word from the browser? Each leaves a picture.

import { join } from 'node:path';
import { PLACES } from '../src/nav';
import { objectLists } from '../src/screens/lists/kinds';
import { networkLists } from '../src/screens/lists/network';
import { profileLists } from '../src/screens/lists/profiles';
import { accessible, COLOURS, expect, test } from './house';

const PICTURES = join(import.meta.dirname, '..', '..', 'docs', 'screens');

const RULES = PLACES.map((place) => place.path).filter((path) => /^\/policies\/.*\/(pre|post)-rules$/.test(path));
const LISTS = [...objectLists, ...profileLists, ...networkLists].map((kind) => kind.path);
/** Screens that differ from another by their words alone: which colours there are, that one tells. */
const ALIKE = [...RULES.slice(1), ...LISTS.slice(1)];

// Lists of what the firewall does not do are alike: `menus.spec.ts` goes through them.
for (const place of PLACES.filter((one) => !one.kept)) {
  const schemes = ALIKE.includes(place.path) ? (['light'] as const) : (['light', 'dark'] as const);
  test(`${place.path} is accessible`, async ({ page, go }) => {
    const scope = place.scope === 'group' ? '?group=azure' : '';
    await go(place.path + scope);
    await expect(page.getByRole('heading', { level: 1 })).toBeVisible();
    await page.waitForLoadState('networkidle');
    for (const scheme of schemes) {
      await page.emulateMedia({ colorScheme: scheme });
      await expect(page.locator('html')).toHaveAttribute('data-mantine-color-scheme', scheme);
      await accessible(page, `${place.path} in ${scheme}`, scheme === 'dark' ? COLOURS : undefined);
      if (process.env['PICTURES'] && scheme === 'light') {
        await page.screenshot({ path: join(PICTURES, `${place.path.slice(1).replaceAll('/', '-')}.png`) });
      }
    }
  });
}

test('the palette finds a screen by its name, also when it is asked for at once', async ({ page, go }) => {
  await go('/objects/tags');
  // The key is heard as soon as the button is there.
  await expect(page.getByRole('button', { name: 'Go to', exact: true })).toBeVisible();
  await page.keyboard.press('Control+k');
  await page.getByRole('textbox', { name: 'Where to?' }).fill('logical');
  await accessible(page, 'palette');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'Logical Routers' })).toBeVisible();
});
