// Why was that refused? Everything that the manager says is wrong, each on a line.

import { Alert, List } from '@mantine/core';
import { linesOf } from '../api/problem';

export function Refusal({ error }: { error: unknown }) {
  return (
    <Alert color="red" title="Refused" role="alert">
      <List size="sm">
        {linesOf(error).map((line) => (
          <List.Item key={line}>{line}</List.Item>
        ))}
      </List>
    </Alert>
  );
}
