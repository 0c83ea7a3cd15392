// How does a long list of the configuration become a table?

import { Grid, type GridProperties } from './Grid';
import { type Row, type Rows, useLines } from './rows';

type Properties = Omit<GridProperties<Row>, 'count' | 'at' | 'look' | 'keyOf'> & { rows: Rows };

export function RowGrid({ rows, ...properties }: Properties) {
  const { at, look } = useLines(rows.lists);
  return (
    <Grid {...properties} count={rows.loading ? 0 : rows.count} at={at} look={look} keyOf={(row) => row.entry.xpath} />
  );
}
