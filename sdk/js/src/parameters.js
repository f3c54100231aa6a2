// The parameters of the processor's variant, read once in the life of an instance: they never change in it.

import { Retry } from './failure.js';
import { instance } from './host.js';
import { parse } from './json.js';

const KEPT = 'parameters';

export function parameters() {
  const { host, declared, kept } = instance('parameters');
  if (!kept.has(KEPT)) kept.set(KEPT, guarded(read(host.context.parameters(), declared?.parameters), declared?.parameters));
  return kept.get(KEPT);
}

export function parameter(name) {
  return parameters()[name];
}

function read(pairs, types) {
  const values = {};
  for (const [name, text] of pairs) values[name] = typed(name, text, types?.[name]);
  for (const [name, value] of Object.entries(values)) {
    const alias = camelCase(name);
    if (!Object.hasOwn(values, alias)) Object.defineProperty(values, alias, { value, enumerable: false });
  }
  return values;
}

function typed(name, text, type) {
  if (type === 'integer' || type === 'number') return Number(text);
  if (type === 'boolean') return text === 'true';
  if (type !== 'json') return text;
  try {
    return parse(text, `the value of parameter \`${name}\``);
  } catch (error) {
    throw new Retry(`${error.message}: correct it in the flow`);
  }
}

function camelCase(name) {
  return name.replace(/[-_.]+([a-zA-Z0-9])/g, (_, letter) => letter.toUpperCase());
}

/** A misspelt name would be `undefined` for ever: names that are not declared are errors. */
function guarded(values, types) {
  Object.freeze(values);
  if (!types) return values;
  const known = new Set(Object.keys(types).flatMap((name) => [name, camelCase(name)]));
  return new Proxy(values, {
    get(target, name) {
      if (typeof name === 'string' && !known.has(name) && !(name in target) && name !== 'then' && name !== 'toJSON') {
        const names = Object.keys(types).join(', ') || 'none';
        throw new TypeError(`parameter \`${name}\` does not exist; must be one of: ${names}; correct the name or add it to weir.toml`);
      }
      return target[name];
    },
  });
}
