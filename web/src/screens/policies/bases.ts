// Which rulebases are there? Their elements, with their names at PAN-OS.

export const BASES = {
  security: 'Security',
  nat: 'NAT',
  pbf: 'Policy Based Forwarding',
  decryption: 'Decryption',
  authentication: 'Authentication',
} as const;

export type Base = keyof typeof BASES;

/** Those whose rules the firewall follows and counts; the others are kept and pushed. */
export const ENFORCED: readonly Base[] = ['security', 'nat'];
