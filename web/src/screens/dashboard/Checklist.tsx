// What is there still to do until a firewall protects something? The steps of the deployment guides, in their order.

import { Anchor, Card, Group, List, Text, ThemeIcon, Title } from '@mantine/core';
import { IconCheck, IconCircle } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';
import { api, told } from '../../api/client';
import { pageOf, useCandidate } from '../../api/config';
import { useDevices } from '../../api/devices';
import { useSession } from '../../api/session';
import { groupPath, templatePath, useGroups, useTemplates } from '../../scope';
import { openCommit } from '../../shell/commits';
import { Password } from './Password';

type Step = { label: string; done: boolean; to?: string; act?: () => void };

function useCount(xpath: string | undefined): number {
  const page = useQuery({ ...pageOf(xpath ?? '', {}, 0), enabled: xpath !== undefined });
  return page.data?.total ?? 0;
}

function useSteps(openPassword: () => void): Step[] {
  const state = useSession();
  const user = state.kind === 'in' ? state.session.who.user : '';
  const administrators = useQuery({
    queryKey: ['config', 'administrators'],
    queryFn: () => told(api.GET('/api/v1/administrators')),
  });
  const devices = useDevices().data?.devices ?? [];
  const { templates = [], stacks = [] } = useTemplates().data ?? {};
  const groups = useGroups().data?.groups ?? [];
  const candidate = useCandidate().data;
  const template = templates[0] ? templatePath(templates[0]) : undefined;
  const group = groups.find((one) => one.devices.length > 0)?.name ?? groups[0]?.name;
  const base = group ? groupPath(group) : undefined;
  const interfaces = useCount(template && `${template}/network/interface/ethernet`);
  const zones = useCount(template && `${template}/vsys/entry[@name='vsys1']/zone`);
  const routers = useCount(template && `${template}/network/logical-router`);
  const nat = useCount(base && `${base}/pre-rulebase/nat/rules`);
  const security = useCount(base && `${base}/pre-rulebase/security/rules`);
  const mine = administrators.data?.administrators.find((one) => one.name === user);
  const enforced = devices.some((device) => device.policy?.in_sync && device.templates?.in_sync);
  return [
    { label: 'Set a password of your own', done: mine?.password === true, act: openPassword },
    { label: 'Enrol a firewall', done: devices.length > 0, to: '/panorama/managed-devices' },
    {
      label: 'Make a template and a stack with the firewall',
      done: stacks.some((stack) => stack.templates.length > 0 && stack.devices.length > 0),
      to: '/panorama/templates',
    },
    { label: 'Add the interfaces', done: interfaces > 0, to: '/network/interfaces/ethernet' },
    { label: 'Put them into zones', done: zones > 0, to: '/network/zones' },
    { label: 'Add logical routers with static routes', done: routers > 0, to: '/network/routing/logical-routers' },
    {
      label: 'Make a device group with the firewall',
      done: groups.some((one) => one.devices.length > 0),
      to: '/panorama/device-groups',
    },
    { label: 'Add NAT rules', done: nat > 0, to: '/policies/nat/pre-rules' },
    { label: 'Add security rules', done: security > 0, to: '/policies/security/pre-rules' },
    { label: 'Commit', done: candidate?.pending === 0 && candidate.version > 1, act: () => openCommit('commit') },
    { label: 'Push to the firewall', done: enforced, act: () => openCommit('push') },
  ];
}

export function Checklist() {
  const [changing, setChanging] = useState(false);
  const steps = useSteps(() => setChanging(true));
  const left = steps.filter((step) => !step.done).length;
  return (
    <Card withBorder component="section">
      <Group justify="space-between" mb="sm">
        <Title order={2} size="h4">
          First steps
        </Title>
        <Text size="sm" c="dimmed">
          {left === 0 ? 'All are done' : `${left} to do`}
        </Text>
      </Group>
      <List spacing="xs" size="sm" center listStyleType="none">
        {steps.map((step) => (
          <List.Item
            key={step.label}
            icon={
              <ThemeIcon size={20} radius="xl" variant="light" color={step.done ? 'green' : 'gray'}>
                {step.done ? <IconCheck size={14} aria-label="done" /> : <IconCircle size={14} aria-label="to do" />}
              </ThemeIcon>
            }
          >
            <Go step={step} />
          </List.Item>
        ))}
      </List>
      {changing && <Password onClose={() => setChanging(false)} />}
    </Card>
  );
}

function Go({ step }: { step: Step }) {
  const { to, act, label } = step;
  if (to) return <Anchor renderRoot={(properties) => <Link to={to} {...properties} />}>{label}</Anchor>;
  return (
    <Anchor component="button" type="button" onClick={act}>
      {label}
    </Anchor>
  );
}
