// Bounds on the numbers, lists and strings of descriptors: those of the host.

const MAX_CONCURRENCY = 1000;
export const MAX_WORKERS_COUNT = 4000;
const KIB = 1024;
const HOUR_MS = 3_600_000;

const number = (from, to) => ({ from, to });
const string = (bytes) => ({ bytes });
const list = (elements) => ({ elements });

const NAME = string(128);
const PROSE = string(8 * KIB);

/** Paths to values, `*` standing for each element, and their bounds. */
const RULES = Object.entries({
  name: NAME,
  version: NAME,
  description: PROSE,
  concurrency: number(1, MAX_CONCURRENCY),
  consumers: list(64),
  'consumers *': NAME,
  'consumers * name': NAME,
  'consumers * description': PROSE,
  'consumers * concurrency': number(1, MAX_CONCURRENCY),
  'consumers * order-by': NAME,
  'consumers * reply': NAME,
  producers: list(256),
  'producers *': NAME,
  'producers * name': NAME,
  'producers * description': PROSE,
  requests: list(64),
  'requests * name': NAME,
  'requests * request': NAME,
  'requests * response': NAME,
  'requests * timeout-ms': number(1, HOUR_MS),
  'requests * description': PROSE,
  parameters: list(256),
  'parameters *': NAME,
  'parameters * name': NAME,
  'parameters * default': PROSE,
  'parameters * enum': list(256),
  'parameters * enum *': PROSE,
  'parameters * description': PROSE,
  'config-types': list(64),
  'config-types *': NAME,
  'config-types * name': NAME,
  'config-types * description': PROSE,
  grants: list(64),
  'grants * grant': NAME,
  'grants * what': list(64),
  'grants * what *': string(KIB),
  'grants * why': PROSE,
}).map(([path, bound]) => [path.split(' '), bound]);

/** Finds the first value that is out of its bound, in the words of a host; `undefined` if there is none. */
export function outOfBounds(descriptor) {
  for (const [path, bound] of RULES) {
    const found = check(descriptor, path, bound, []);
    if (found) return found;
  }
  return undefined;
}

function check(value, [first, ...rest], bound, at) {
  if (first === undefined) return problem(value, bound, at);
  if (typeof value !== 'object' || value === null) return undefined;
  const steps = first === '*' ? Object.keys(value) : Object.hasOwn(value, first) ? [first] : [];
  for (const step of steps) {
    const item = value[step];
    const name = first === '*' && typeof item?.name === 'string' ? item.name : step;
    const found = check(item, rest, bound, [...at, shown(name)]);
    if (found) return found;
  }
  return undefined;
}

function problem(value, bound, at) {
  if (value === null || value === undefined) return undefined;
  const fault = (text) => `field \`${at.join('.')}\` of the descriptor: ${text}`;
  if (bound.from !== undefined) {
    const fits = Number.isInteger(value) && value >= bound.from && value <= bound.to;
    return fits ? undefined : fault(`is ${shown(JSON.stringify(value))}; it must be a whole number from ${bound.from} to ${bound.to}`);
  }
  const [count, most, what] =
    bound.bytes !== undefined
      ? [typeof value === 'string' ? byteLength(value) : 0, bound.bytes, 'bytes']
      : [typeof value === 'object' ? Object.keys(value).length : 0, bound.elements, 'elements'];
  return count > most ? fault(`has ${count} ${what}; at most ${most} are allowed`) : undefined;
}

export function byteLength(text) {
  return new TextEncoder().encode(text).length;
}

const ESCAPES = { '\t': '\\t', '\r': '\\r', '\n': '\\n', "'": "\\'", '"': '\\"', '\\': '\\\\' };

/** The beginning of a string, fit for an error message, as the host writes it. */
export function shown(text, most = 80) {
  return [...String(text)].slice(0, most).map(escaped).join('');
}

function escaped(character) {
  const known = ESCAPES[character];
  if (known) return known;
  const code = character.codePointAt(0);
  return code >= 0x20 && code < 0x7f ? character : `\\u{${code.toString(16)}}`;
}

/** A list of names, for people. */
export function names(list) {
  return list.join(', ') || 'none';
}
