// Is a rule made, moved, changed and deleted by the page, committed, pushed, and enforced?

import { expect, test } from './house';

const RULES = '/policies/security/pre-rules?group=azure';

test('a rule goes from the form to the firewall', async ({ page, go, api }) => {
  await go(RULES);
  const grid = page.getByRole('grid', { name: 'Security Pre Rules' });
  await expect(grid.getByRole('row', { name: /outbound-dns/ })).toBeVisible();

  // Made: with a name, a zone that is offered, a port, and an action.
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  const form = page.getByRole('dialog', { name: /Add Security rule/ });
  await form.getByLabel('Name').fill('block-ntp');
  await form.getByRole('tab', { name: 'Source' }).click();
  const zones = form.getByRole('combobox', { name: 'Source Zone' });
  await zones.press('Backspace');
  await zones.fill('tru');
  await page.getByRole('option', { name: 'trust', exact: true }).click();
  await form.getByRole('tab', { name: 'Service/URL Category' }).click();
  const services = form.getByRole('combobox', { name: 'Service' });
  await services.press('Backspace');
  await services.fill('service-http');
  await services.press('Enter');
  await form.getByRole('tab', { name: 'Actions' }).click();
  await form.getByRole('combobox', { name: 'Action' }).click();
  await page.getByRole('option', { name: 'drop' }).click();
  await form.getByRole('button', { name: 'Add', exact: true }).click();
  const row = grid.getByRole('row', { name: /block-ntp/ });
  await expect(row).toContainText('trust');
  await expect(row).toContainText('drop');

  // Moved to the top by the menu, and down and up by the keyboard, which stays with the rule.
  await row.click();
  await page.getByRole('button', { name: 'Move' }).click();
  await page.getByRole('menuitem', { name: 'Move Top' }).click();
  await expect(row).toHaveAttribute('aria-rowindex', '2');
  await row.press('Alt+ArrowDown');
  await expect(row).toHaveAttribute('aria-rowindex', '3');
  await expect(row).toBeFocused();
  await page.keyboard.press('Alt+ArrowDown');
  await expect(row).toHaveAttribute('aria-rowindex', '4');
  await expect(row).toBeFocused();
  await page.keyboard.press('Alt+ArrowUp');
  await expect(row).toHaveAttribute('aria-rowindex', '3');

  // Disabled and enabled again.
  await page.getByRole('button', { name: 'Disable' }).click();
  await expect(row).toContainText('disabled');
  await page.getByRole('button', { name: 'Enable' }).click();
  await expect(row).not.toContainText('disabled');

  // Committed and pushed, each change told before.
  await page.getByRole('button', { name: /^Commit \(/ }).click();
  await page.getByRole('menuitem', { name: 'Commit and Push' }).click();
  const commit = page.getByRole('dialog', { name: 'Commit and Push' });
  await expect(commit.getByRole('table', { name: 'Pending changes' })).toContainText('block-ntp');
  await commit.getByRole('tab', { name: 'Difference' }).click();
  await expect(commit.getByRole('region', { name: 'Difference' })).toContainText('block-ntp');
  await commit.getByRole('tab', { name: 'Validate' }).click();
  await expect(commit.getByText('It can be committed')).toBeVisible();
  await commit.getByLabel('Description').fill('no time from there');
  await commit.getByRole('button', { name: 'Commit and Push' }).click();
  const job = page.getByRole('dialog', { name: /^Job/ });
  await expect(job.getByText('succeeded')).toBeVisible({ timeout: 20_000 });
  await expect(job.getByRole('table', { name: 'Devices' })).toContainText('in force');
  await job.getByRole('button', { name: 'Close' }).last().click();
  await expect(page.getByRole('button', { name: 'Commit', exact: true })).toBeVisible();

  // The firewall decides by it.
  const command =
    '<test><security-policy-match><from>trust</from><to>untrust</to><source>10.1.0.10</source><destination>198.51.100.10</destination><protocol>6</protocol><destination-port>80</destination-port></security-policy-match></test>';
  const answer = await api.post<{ xml: string }>(`/devices/${process.env['SERIAL']}/command`, { command });
  expect(answer.xml).toContain('block-ntp');

  // Deleted, after a question, and the candidate is as the firewall is to be again.
  await row.click();
  await page.keyboard.press('Delete');
  await page.getByRole('dialog', { name: 'Delete the rule?' }).getByRole('button', { name: 'Delete' }).click();
  await expect(row).toBeHidden();
  await api.post('/commit?wait=30', {});
  await api.post('/push?wait=30', { device_groups: ['azure'] });
});

test('two people change one rule: what goes together is put together', async ({ page, go, api }) => {
  await api.lines('set device-group azure pre-rulebase security rules outbound-dns description ours');
  await go(RULES);
  await page.getByRole('row', { name: /outbound-dns/ }).press('Enter');
  const form = page.getByRole('dialog', { name: /outbound-dns/ });
  await expect(form.getByLabel('Description')).toHaveValue('ours');
  await api.lines('set device-group azure pre-rulebase security rules outbound-dns log-end no');
  await form.getByLabel('Description').fill('mine');
  await form.getByRole('button', { name: 'Save' }).click();
  await expect(form.getByText('Somebody else changed this meanwhile')).toBeVisible();
  await form.getByRole('tab', { name: 'Actions' }).click();
  await expect(form.getByRole('combobox', { name: 'Log at Session End' })).toHaveValue('no');
  await form.getByRole('button', { name: 'Save' }).click();
  await expect(form).toBeHidden();
  const { nodes } = await api.get<{ nodes: { xml: string }[] }>(
    `/config?xml=true&path=${encodeURIComponent('device-group azure pre-rulebase security rules outbound-dns')}`,
  );
  expect(nodes[0]?.xml).toContain('<description>mine</description>');
  expect(nodes[0]?.xml).toContain('<log-end>no</log-end>');
  await api.post('/candidate/revert', {});
});

test('many rules are changed at once, a cell where it stands, and both are taken back', async ({ page, go, api }) => {
  await api.lines(
    ...['one', 'two', 'three'].flatMap((name) => [
      `set device-group many pre-rulebase security rules ${name} from any`,
      `set device-group many pre-rulebase security rules ${name} to any`,
      `set device-group many pre-rulebase security rules ${name} source 10.0.0.0/8`,
      `set device-group many pre-rulebase security rules ${name} destination any`,
      `set device-group many pre-rulebase security rules ${name} service any`,
      `set device-group many pre-rulebase security rules ${name} application any`,
      `set device-group many pre-rulebase security rules ${name} action deny`,
    ]),
    'set device-group many pre-rulebase security rules two tag old',
    'set device-group many pre-rulebase security rules two group-tag team-a',
  );
  await go('/policies/security/pre-rules?group=many');
  const grid = page.getByRole('grid');
  const row = (name: string) => grid.getByRole('row', { name: new RegExp(`^\\d+ ?${name}`) });
  await page.getByRole('button', { name: 'Choose columns' }).click();
  await page.getByRole('checkbox', { name: 'Tags' }).check();
  await page.keyboard.press('Escape');

  // All of them at once: a tag is added, a log forwarding profile set.
  await row('one').press('Control+a');
  await expect(page.getByText(/3 rules, 3 selected/)).toBeVisible();
  await page.getByRole('button', { name: 'Edit', exact: true }).click();
  const bulk = page.getByRole('dialog', { name: 'Edit 3 rules' });
  await bulk.getByRole('combobox', { name: 'Field' }).fill('Tags');
  await page.getByRole('option', { name: 'Tags', exact: true }).click();
  await bulk.getByRole('combobox', { name: 'How' }).click();
  await page.getByRole('option', { name: 'Add', exact: true }).click();
  await bulk.getByRole('combobox', { name: 'Tags' }).fill('new');
  await bulk.getByRole('combobox', { name: 'Tags' }).press('Enter');
  await bulk.getByRole('button', { name: 'Another field' }).click();
  await bulk.getByRole('combobox', { name: 'Field' }).nth(1).fill('Source Zone');
  await page.getByRole('option', { name: 'Source Zone', exact: true }).click();
  await bulk.getByRole('combobox', { name: 'Source Zone', exact: true }).fill('trust');
  await bulk.getByRole('combobox', { name: 'Source Zone', exact: true }).press('Tab');
  await bulk.getByRole('button', { name: 'Change 3 rules' }).click();
  await expect(row('two')).toContainText('old, new');
  await expect(row('three')).toContainText('trust');

  // One cell by the keyboard, while somebody else changes another field of the same rule.
  await row('three').press('F2');
  await page.getByRole('combobox', { name: 'Tags' }).fill('mine');
  await page.getByRole('combobox', { name: 'Tags' }).press('Enter');
  await api.lines('set device-group many pre-rulebase security rules three description theirs');
  await page.getByRole('combobox', { name: 'Tags' }).press('Control+Enter');
  await expect(row('three')).toContainText('new, mine');
  await expect(row('three')).toContainText('theirs');

  // Taken back, done again, and taken back; then both edits of all rules.
  await page.getByRole('button', { name: 'Undo', exact: true }).click();
  await expect(row('three')).not.toContainText('mine');
  await page.getByRole('button', { name: 'Redo', exact: true }).click();
  await expect(row('three')).toContainText('mine');
  await page.keyboard.press('Control+z');
  await expect(row('three')).not.toContainText('mine');
  await page.keyboard.press('Control+z');
  await expect(row('two')).not.toContainText('new');
  await expect(row('two')).toContainText('old');
  await expect(row('three')).not.toContainText('trust');

  // What somebody else wrote over it is not taken back.
  await row('one').click();
  await page.getByRole('button', { name: 'Disable' }).click();
  await expect(row('one')).toContainText('disabled');
  await api.lines('set device-group many pre-rulebase security rules one disabled no');
  await page.keyboard.press('Control+z');
  await expect(page.getByText(/Not taken back, it is another one by now/)).toBeVisible();

  // By groups and by tags.
  await page.getByRole('switch', { name: 'View Rulebase as Groups' }).click();
  await expect(page.getByText('2 of 3 rules')).toBeVisible();
  await page.getByRole('button', { name: /team-a/ }).click();
  await expect(page.getByText('1 of 3 rules')).toBeVisible();
  await page.getByRole('switch', { name: 'View Rulebase as Groups' }).click();
  await page.getByRole('combobox', { name: 'Rules with the tag' }).click();
  await page.getByRole('option', { name: 'old (1)' }).click();
  await expect(page).toHaveURL(/tag=old/);
  await expect(page.getByText('1 of 3 rules')).toBeVisible();

  // Copied by the keys to behind the rules of the devices, and moved to Shared.
  await row('two').click();
  await page.keyboard.press('Control+c');
  await page.getByRole('link', { name: 'Post Rules' }).first().click();
  await expect(page.getByRole('heading', { name: 'Security Post Rules' })).toBeVisible();
  await page.keyboard.press('Control+v');
  await row('two').click();
  await page.getByRole('button', { name: 'Copy', exact: true }).click();
  await page.getByRole('menuitem', { name: 'To another rulebase…' }).click();
  const copy = page.getByRole('dialog', { name: /to another rulebase/ });
  await copy.getByRole('combobox', { name: 'Device group' }).fill('Shared');
  await page.getByRole('option', { name: 'Shared' }).click();
  await copy.getByRole('switch', { name: 'Move them: they go from here' }).click();
  await copy.getByRole('button', { name: 'Move', exact: true }).click();
  await expect(copy).toBeHidden();
  await expect(row('two')).toContainText('Shared');
  await api.post('/candidate/revert', {});
});

test('default rules are overridden where they count, other rulebases say that nothing enforces them', async ({
  page,
  go,
  api,
}) => {
  await go('/policies/security/default-rules?group=azure');
  const intrazone = page.getByRole('row', { name: /intrazone-default/ });
  await expect(intrazone).toContainText('predefined');
  await intrazone.press('Enter');
  const form = page.getByRole('dialog', { name: /Override default rule/ });
  await form.getByRole('tab', { name: 'Actions' }).click();
  await form.getByRole('combobox', { name: 'Action', exact: true }).click();
  await page.getByRole('option', { name: 'drop' }).click();
  await form.getByRole('button', { name: 'Override' }).click();
  await expect(intrazone).toContainText('azure');
  await expect(intrazone).toContainText('drop');
  await intrazone.press('Delete');
  await page.getByRole('dialog').getByRole('button', { name: 'Revert' }).click();
  await expect(intrazone).toContainText('allow');

  await page.getByRole('link', { name: 'Pre Rules' }).nth(3).click();
  await expect(page.getByRole('heading', { name: 'Decryption Pre Rules' })).toBeVisible();
  await expect(page.getByRole('note')).toContainText('not enforced yet');
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  const rule = page.getByRole('dialog', { name: /Add Decryption rule/ });
  await rule.getByLabel('Name').fill('bank');
  await rule.getByRole('button', { name: 'Add', exact: true }).click();
  await expect(page.getByRole('row', { name: /bank/ })).toContainText('no-decrypt');
  const { findings } = await api.post<{ findings: { code: string; xpath: string }[] }>('/validate', {});
  expect(findings.map(({ code }) => code)).toContain('not-enforced');
  await api.post('/candidate/revert', {});
});

test('a pasted line of the log is tested, and becomes a test of the command line', async ({ page, go, api }) => {
  const { lines } = await api.get<{ lines: { fields: Record<string, string> }[] }>(
    `/logs/traffic?limit=1&query=${encodeURIComponent('( action eq allow )')}`,
  );
  await go('/policies/test');
  const line = page.getByRole('textbox', { name: 'Or paste a line of the traffic log' });
  await line.fill('nothing of that');
  await expect(page.getByText('this has no source and destination')).toBeVisible();
  await line.fill(JSON.stringify(lines[0]));
  await expect(page.getByRole('textbox', { name: 'Source', exact: true })).toHaveValue(lines[0]?.fields['src'] ?? '');
  await page.getByRole('button', { name: 'Test', exact: true }).click();
  await page.getByRole('button', { name: 'Save as a test' }).click();
  await expect(page.getByRole('region', { name: 'Tests' })).toContainText(`from: ${lines[0]?.fields['src']}`);
  await page.getByRole('textbox', { name: 'Source', exact: true }).fill('shop/web');
  await page.getByRole('button', { name: 'Test', exact: true }).click();
  await expect(page.getByText('no registered address is of “shop/web”')).toBeVisible();
});

test('a rule that never matches tells which rule takes a flow of it', async ({ page, go, api }) => {
  await api.lines(
    ...[
      'from trust',
      'to untrust',
      'source workloads',
      'destination any',
      'application any',
      'service tcp-smtp',
      'action allow',
    ].map((words) => `set device-group azure pre-rulebase security rules late ${words}`),
  );
  await go(RULES);
  const late = page.getByRole('row', { name: /late/ });
  await expect(late).toContainText('shadowed');
  await late.press('Enter');
  await expect(
    page.getByRole('dialog', { name: /late/ }).getByText(/`block-smtp` takes tcp to port 25 from/),
  ).toBeVisible();
  await api.post('/candidate/revert', {});
});

test('what the manager refuses is told in the form, which stays', async ({ page, go }) => {
  await go('/objects/addresses?group=azure');
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  const form = page.getByRole('dialog', { name: /Add address/ });
  await form.getByLabel('Name').fill('too-long');
  await form.getByLabel('Description').fill('x'.repeat(1100));
  await form.getByRole('button', { name: 'Add', exact: true }).click();
  await expect(form.getByRole('alert')).toContainText('at most 1023 characters');
  await form.getByRole('button', { name: 'Cancel' }).click();
  await expect(form.getByText('Leave without saving?')).toBeVisible();
  await form.getByRole('button', { name: /Leave, and lose/ }).click();
  await expect(form).toBeHidden();
});

test('a rule that something refers to is deleted only when nothing does', async ({ page, go }) => {
  await go('/objects/addresses?group=azure');
  await page.getByRole('row', { name: /app-vnet/ }).click();
  await page.keyboard.press('Delete');
  const question = page.getByRole('dialog', { name: /Delete/ });
  await question.getByRole('button', { name: 'Delete' }).click();
  await expect(question.getByRole('alert')).toContainText('cannot be deleted because of references');
});

test('a line of a long list keeps the focus while it is out of sight, and its place in the order', async ({
  page,
  go,
  api,
}) => {
  const rules = Array.from({ length: 300 }, (_, index) => `<entry name="far-${index + 1}"/>`).join('');
  const groups = "/config/devices/entry[@name='localhost.localdomain']/device-group";
  const list = `${groups}/entry[@name='far']/pre-rulebase/security/rules`;
  await api.post('/config/edits', {
    edits: [
      { action: 'set', xpath: groups, element: '<entry name="far"/>' },
      { action: 'set', xpath: list, element: rules },
    ],
  });
  await go('/policies/security/pre-rules?group=far');
  const grid = page.getByRole('grid');
  const row = (number: number) => grid.getByRole('row', { name: new RegExp(`far-${number} `) });
  await row(5).click();
  await expect(row(5)).toBeFocused();
  // Its elements show other lines meanwhile.
  const scrolled = (top: number) =>
    grid.evaluate((element, to) => {
      element.scrollTop = to;
    }, top);
  await scrolled(6000);
  await expect(row(180)).toBeVisible();
  await expect(grid.locator(':focus')).toHaveCount(0);
  const places = () => grid.getByRole('row').evaluateAll((rows) => rows.map((one) => Number(one.ariaRowIndex)));
  await expect
    .poll(async () => {
      const now = await places();
      return now.every((place, index) => index === 0 || place > (now[index - 1] ?? 0));
    })
    .toBe(true);
  await scrolled(0);
  await expect(row(5)).toBeFocused();
  await page.keyboard.press('ArrowDown');
  await expect(row(6)).toBeFocused();
  await api.post('/candidate/revert', {});
});

test('a rule of a long list goes to a number that is not on the screen', async ({ page, go, api }) => {
  const rules = Array.from(
    { length: 450 },
    (_, index) => `<entry name="long-${index + 1}"><action>deny</action></entry>`,
  );
  const group = "/config/devices/entry[@name='localhost.localdomain']/device-group";
  await api.post('/config/edits', {
    edits: [
      { action: 'set', xpath: group, element: '<entry name="long"/>' },
      {
        action: 'set',
        xpath: `${group}/entry[@name='long']/pre-rulebase/security/rules`,
        element: rules.join(''),
      },
    ],
  });
  await go('/policies/security/pre-rules?group=long');
  const grid = page.getByRole('grid');
  await grid.getByRole('row', { name: /long-3 / }).click();
  await grid.getByRole('row', { name: /long-3 / }).press('End');
  await expect(grid.getByRole('row', { name: /long-450/ })).toBeFocused();
  await expect(page.getByText('450 rules, 1 selected')).toBeVisible();
  await page.getByRole('button', { name: 'Move' }).click();
  await page.getByRole('menuitem', { name: 'Move to…' }).click();
  const dialog = page.getByRole('dialog', { name: 'Move the rule' });
  await dialog.getByLabel('Rule').fill('451');
  await dialog.getByRole('button', { name: 'Move' }).click();
  await expect(dialog.getByText('there is no such rule in this rulebase')).toBeVisible();
  await dialog.getByLabel('Rule').fill('201');
  await dialog.getByRole('button', { name: 'Move' }).click();
  await expect(dialog).toBeHidden();
  const path = encodeURIComponent('device-group long pre-rulebase security rules');
  const { entries } = await api.get<{ entries: { name: string }[] }>(`/config/entries?path=${path}&offset=199&limit=2`);
  expect(entries.map((entry) => entry.name)).toEqual(['long-3', 'long-201']);
  await api.post('/candidate/revert', {});
});
