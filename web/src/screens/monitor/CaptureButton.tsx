// How does one get from a flow to its packets? To the form of a capture, with a filter for the flow.

import { Button } from '@mantine/core';
import { IconPlayerRecord } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import { scopeOf } from '../../scope';
import { wordsOf } from './capture';
import type { Flow } from './explain';

export function CaptureButton({ serial, flow }: { serial: string; flow: Flow }) {
  return (
    <Button
      variant="light"
      leftSection={<IconPlayerRecord size={16} />}
      renderRoot={(properties) => (
        <Link
          to="/monitor/packet-capture"
          search={(now) => ({ ...scopeOf(now), open: serial, flow: wordsOf(flow) })}
          {...properties}
        />
      )}
    >
      Capture packets
    </Button>
  );
}
