// Is a policy of a cluster seen, looked at, approved and told about, by the page alone?

import { accessible, expect, test } from './house';

const CLUSTER = 'page';
const CLUSTERS = `/kubernetes/clusters/${CLUSTER}`;
const SETTINGS = `/config/devices/entry[@name='localhost.localdomain']/plugins/kubernetes/policy-automation/entry[@name='${CLUSTER}']`;

/** What a controller tells of a cluster with one policy. */
function told(name: string, labels: Record<string, string> = {}) {
  return {
    controller: 'of the test',
    digest: `${name} ${JSON.stringify(labels)}`,
    namespaces: { shop: { 'kubernetes.io/metadata.name': 'shop' } },
    pods: [],
    policies: [
      {
        apiVersion: 'networking.k8s.io/v1',
        kind: 'NetworkPolicy',
        metadata: { namespace: 'shop', name, uid: `uid-${name}`, generation: 1, labels, annotations: {} },
        spec: { podSelector: {}, policyTypes: ['Ingress'], ingress: [{ from: [{ podSelector: {} }] }] },
      },
    ],
    cluster_policies: [],
  };
}

test.beforeEach(async ({ api }) => {
  const element = '<device-group>azure</device-group><auto-commit>no</auto-commit><batch-window>10</batch-window>';
  await api.post('/config/edits', { edits: [{ action: 'set', xpath: SETTINGS, element }] });
  await api.post('/commit?wait=30', {});
  await api.post(`${CLUSTERS}/renew`, { controller: 'of the test', ttl_s: 600, cluster_id: 9, objects: { pods: 12 } });
});

// What was made of the policies goes with the cluster, by a run that needs nobody.
test.afterEach(async ({ api }) => {
  const byItself = { action: 'set', xpath: SETTINGS, element: '<auto-commit>yes</auto-commit>' };
  await api.post('/config/edits', { edits: [byItself] });
  await api.post('/commit?wait=30', {});
  await api.remove(CLUSTERS);
  await expect.poll(() => api.status(`${CLUSTERS}/policies`), { timeout: 20_000 }).toBe(404);
  await api.post('/config/edits', { edits: [{ action: 'delete', xpath: SETTINGS }] });
  await api.post('/commit?wait=30', {});
});

test('a held policy is looked at, approved, and enforced', async ({ page, go, api }) => {
  await api.put(`${CLUSTERS}/policies`, told('web-only'));
  await go('/automation/runs');
  const runs = page.getByRole('grid', { name: 'Runs' });
  const run = runs.getByRole('row', { name: new RegExp(`waiting.*${CLUSTER}`) });
  await expect(run).toBeVisible();
  await expect(page.getByText('1 wait for an approval')).toBeVisible();
  await run.dblclick();
  const dialog = page.getByRole('dialog', { name: /^Run \d+/ });
  await expect(dialog.getByText('This waits for an approval')).toBeVisible();
  await expect(dialog.getByRole('region', { name: 'Difference' })).toContainText('web-only');
  await expect(dialog.getByRole('region', { name: 'Playbook apply' })).toContainText('a person approves or rejects');
  await accessible(page, 'a run that waits');
  await dialog.getByLabel('Comment').fill('as the team asked');
  await dialog.getByRole('button', { name: 'Approve' }).click();
  await expect(dialog.getByText('done', { exact: true }).first()).toBeVisible({ timeout: 20_000 });
  await expect(dialog.getByRole('button', { name: 'Approve' })).toBeHidden();
  await dialog.getByRole('button', { name: 'Close' }).last().click();

  // What became of the policy, and the way back to the run.
  await go(`/panorama/kubernetes/network-policies?cluster=${CLUSTER}`);
  const policy = page.getByRole('row', { name: /web-only/ });
  await expect(policy.getByText('yes')).toHaveCount(3);
  await policy.dblclick();
  const details = page.getByRole('dialog', { name: /NetworkPolicy shop\/web-only/ });
  await expect(details.getByText(/by 1 firewall/)).toBeVisible();
  await accessible(page, 'a policy');
  await details.getByRole('link', { name: /^Incident/ }).click();

  // The incident has what people said and what the run did.
  const incident = page.getByRole('dialog', { name: /^Incident \d+/ });
  await expect(incident.getByRole('table', { name: 'Timeline' })).toContainText('verify done');
  await incident.getByLabel('Comment').fill('seen');
  await incident.getByLabel('Owner').fill('admin');
  await incident.getByRole('button', { name: 'Save' }).click();
  await expect(incident.getByRole('table', { name: 'Timeline' })).toContainText('seen');
  await accessible(page, 'an incident');
});

test('a policy that names what is not there says so, in the cluster and on the page', async ({ page, go, api }) => {
  await api.put(`${CLUSTERS}/policies`, told('odd', { 'np.panw.com/vuln-protection': 'nobody-made-this' }));
  await go(`/panorama/kubernetes/network-policies?cluster=${CLUSTER}`);
  const row = page.getByRole('row', { name: /odd/ });
  await expect(row).toContainText('ObjectNotFound');
  await expect(row).toContainText('nobody-made-this');
  await go('/panorama/kubernetes/clusters');
  await expect(page.getByRole('row', { name: new RegExp(CLUSTER) })).toContainText('12');
});

test('a playbook with a fault is refused with its line, and one without is used', async ({ page, go }) => {
  await go('/automation/playbooks?open=delete');
  const dialog = page.getByRole('dialog', { name: 'Playbook: delete' });
  await expect(dialog.getByRole('region', { name: 'Playbook delete' })).toContainText('verify');
  await accessible(page, 'a playbook');
  await dialog.getByRole('tab', { name: 'Text' }).click();
  const text = dialog.getByLabel('YAML');
  const own = await text.inputValue();
  await text.fill(own.replace('next: translate', 'next: translat'));
  await dialog.getByRole('button', { name: 'Save as a new version' }).click();
  await expect(dialog.getByRole('alert')).toContainText('translat');
  await text.fill(`${own}# ours\n`);
  await dialog.getByRole('button', { name: 'Save as a new version' }).click();
  await expect(dialog.getByRole('combobox', { name: 'Version' })).toBeVisible();
  await dialog.getByRole('tab', { name: 'Text' }).click();
  await dialog.getByRole('button', { name: "Use the program's own again" }).click();
  await expect(dialog.getByRole('button', { name: "Use the program's own again" })).toBeHidden();
});
