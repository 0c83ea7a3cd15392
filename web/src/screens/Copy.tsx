// How does a text get from the page into something else? By a button, which says when it is done.

import { Button, CopyButton } from '@mantine/core';

export function Copy({ text, variant }: { text: string; variant: 'default' | 'light' }) {
  return (
    <CopyButton value={text}>
      {({ copied, copy }) => (
        <Button variant={variant} onClick={copy}>
          {copied ? 'Copied' : 'Copy'}
        </Button>
      )}
    </CopyButton>
  );
}
