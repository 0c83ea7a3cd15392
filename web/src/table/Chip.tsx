// A word on a tinted ground, of which a line of a long table can afford some: the library's badge costs as much as ten cells.

import { onTinted } from '../theme';
import classes from './Grid.module.css';

type Properties = { children: string; color: string; title?: string | undefined };

export function Chip({ children, color, title }: Properties) {
  return (
    <span
      className={classes.chip}
      title={title}
      style={{ background: `var(--mantine-color-${color}-light)`, color: onTinted(color) }}
    >
      {children}
    </span>
  );
}
