// How is something shown that is told only once? With a button that copies it.

import { Button, Code, CopyButton, Group } from '@mantine/core';

export function Secret({ text, onClose }: { text: string; onClose: () => void }) {
  return (
    <>
      <Code block>{text}</Code>
      <Group justify="flex-end" gap="xs">
        <CopyButton value={text}>
          {({ copied, copy }) => (
            <Button variant="light" onClick={copy}>
              {copied ? 'Copied' : 'Copy'}
            </Button>
          )}
        </CopyButton>
        <Button onClick={onClose}>Done</Button>
      </Group>
    </>
  );
}
