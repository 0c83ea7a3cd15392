// What does nobody see at first? It comes when the rest is there.

import { type ReactNode, useEffect, useState } from 'react';

const LATER_MS = 300;

export function Later({ children }: { children: ReactNode }) {
  const [now, setNow] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setNow(true), LATER_MS);
    return () => clearTimeout(timer);
  }, []);
  return now && children;
}
