// Values as text, for the log.

import { explain } from './stack.js';

const MOST_DEPTH = 4;
const MOST_ITEMS = 100;
const MOST_CHARACTERS = 10_000;

/** A value as a line of the log shows it: strings as they are, the rest as JavaScript would write it. */
export function shown(value) {
  return typeof value === 'string' ? value : inspect(value, 0, []);
}

function inspect(value, depth, above) {
  if (typeof value === 'string') return JSON.stringify(value.length > MOST_CHARACTERS ? `${value.slice(0, MOST_CHARACTERS)}...` : value);
  if (typeof value === 'bigint') return `${value}n`;
  if (typeof value === 'function') return `[function ${value.name || 'without a name'}]`;
  if (typeof value !== 'object' || value === null) return Object.is(value, -0) ? '-0' : String(value);
  if (value instanceof Error) return explain(value);
  if (above.includes(value)) return '[circular]';
  const name = value.constructor?.name;
  if (depth >= MOST_DEPTH) return Array.isArray(value) ? '[array]' : `[${name ?? 'object'}]`;
  const inner = (item) => inspect(item, depth + 1, [...above, value]);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString();
  if (value instanceof RegExp) return String(value);
  if (Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView))) {
    return `${Array.isArray(value) ? '' : `${name} `}[${limited([...value.slice(0, MOST_ITEMS)], value.length, inner)}]`;
  }
  if (value instanceof Map) return `Map {${limited([...value], value.size, ([key, item]) => `${inner(key)} => ${inner(item)}`)}}`;
  if (value instanceof Set) return `Set {${limited([...value], value.size, inner)}}`;
  const entries = Object.entries(value);
  const prefix = name && name !== 'Object' ? `${name} ` : '';
  return `${prefix}{${limited(entries, entries.length, ([key, item]) => `${/^[\w$]+$/.test(key) ? key : JSON.stringify(key)}: ${inner(item)}`)}}`;
}

function limited(items, count, inner) {
  const texts = items.slice(0, MOST_ITEMS).map(inner);
  if (count > MOST_ITEMS) texts.push(`... ${count - MOST_ITEMS} more`);
  return texts.join(', ');
}

/** What `console.log(...values)` shows: with the substitutions %s, %d, %i, %f, %j, %o, %O and %%. */
export function format(values) {
  const rest = [...values];
  let text = '';
  if (typeof rest[0] === 'string') {
    text = rest.shift().replace(/%[sdifjoOc%]/g, (mark) => {
      if (mark === '%%') return '%';
      if (!rest.length) return mark;
      return substituted(mark, rest.shift());
    });
    if (rest.length) text += ' ';
  }
  return text + rest.map(shown).join(' ');
}

function substituted(mark, value) {
  if (mark === '%c') return '';
  if (mark === '%d') return String(Number(value));
  if (mark === '%i') return String(Math.trunc(Number(value)));
  if (mark === '%f') return String(Number(value));
  if (mark === '%j') return JSON.stringify(value) ?? 'undefined';
  return shown(value);
}
