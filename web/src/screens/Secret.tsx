// How is something shown that is told only once? With a button that copies it.

import { Button, Code, Group } from '@mantine/core';
import { Copy } from './Copy';

export function Secret({ text, onClose }: { text: string; onClose: () => void }) {
  return (
    <>
      <Code block>{text}</Code>
      <Group justify="flex-end" gap="xs">
        <Copy text={text} variant="light" />
        <Button onClick={onClose}>Done</Button>
      </Group>
    </>
  );
}
