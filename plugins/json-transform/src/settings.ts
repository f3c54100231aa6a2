// The parameters, checked.

import { Retry } from 'weir-sdk';

/** The parameters as weir.toml declares them. */
export interface Parameters {
  expression: string;
  configKey: string;
  arrays: 'whole' | 'each';
  nothing: 'drop' | 'reject';
  maxTimeMs: number;
  maxDepth: number;
  maxItems: number;
  maxBytes: number;
}

const BOUNDS = { maxTimeMs: ['max-time-ms', 60_000], maxDepth: ['max-depth', 1000], maxItems: ['max-items', 1_000_000], maxBytes: ['max-bytes', 4 << 20] } as const;

/** Refuses parameters that are out of bounds. The message in hand is not at fault. */
export function check(parameters: Parameters): void {
  for (const [field, [name, most]] of Object.entries(BOUNDS)) {
    const value = parameters[field as keyof typeof BOUNDS];
    if (value < 1 || value > most) throw new Retry(`parameter \`${name}\` is ${value}; it must be 1 to ${most}`);
  }
  if (parameters.expression === '' && parameters.configKey === '') {
    throw new Retry('neither parameter `expression` nor parameter `config-key` is set: correct it in the flow');
  }
}
