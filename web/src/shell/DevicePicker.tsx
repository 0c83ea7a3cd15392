// Which firewall is asked? One that is connected; the first unless somebody chose another.

import { Select } from '@mantine/core';
import { useState } from 'react';
import { useDevices } from '../api/devices';

/**
 * The serial number of the chosen firewall, and the field to choose it by; `choose` does if that one is connected. It begins
 * with `wanted`, which need not be.
 */
export function useDevice(wanted?: string) {
  const [chosen, setChosen] = useState<string | null>(wanted ?? null);
  const connected = (useDevices().data?.devices ?? []).filter((device) => device.connected);
  const serial = chosen ?? connected[0]?.serial;
  const picker = (
    <Select
      aria-label="Firewall"
      placeholder={connected.length === 0 ? 'No firewall is connected' : 'Choose a firewall'}
      data={connected.map((device) => ({ value: device.serial, label: device.hostname || device.serial }))}
      value={serial ?? null}
      onChange={setChosen}
      allowDeselect={false}
      disabled={connected.length === 0}
    />
  );
  const choose = (other: string) => {
    if (connected.some((device) => device.serial === other)) setChosen(other);
  };
  return { serial, picker, choose };
}
