// Configuration of the types that the descriptor declares. What is parsed is kept until something of its type changes.

import { Retry } from './failure.js';
import { instance } from './host.js';
import { parse } from './json.js';

const KEPT = 'config';

export const config = Object.freeze({
  get(type, key) {
    return instance('config.get').host.config.get(type, key) ?? undefined;
  },

  keys(type) {
    return instance('config.keys').host.config.keys(type);
  },

  version(type) {
    return instance('config.version').host.config.version(type);
  },

  parsed(type, key, make) {
    return known(type, make, `key ${key}`, () => {
      const text = config.get(type, key);
      return text === undefined ? undefined : read(type, key, text, make);
    });
  },

  parsedAll(type, make) {
    return known(type, make, 'all', () => {
      const values = {};
      for (const key of config.keys(type)) values[key] = read(type, key, config.get(type, key) ?? '', make);
      return Object.freeze(values);
    });
  },
});

function read(type, key, text, make) {
  const place = `the value of config type \`${type}\`, key \`${key}\``;
  let value;
  try {
    value = parse(text, place);
  } catch (error) {
    throw new Retry(`${error.message}: correct the value in the configuration`);
  }
  if (!make) return value;
  try {
    return make(value, key);
  } catch (error) {
    throw new Retry(`${place}: ${error?.message ?? error}: correct the value in the configuration`);
  }
}

/** What was made of a type before, if it is still of the type's version; else makes it. */
function known(type, make, which, produce) {
  const { kept } = instance('config.parsed');
  const version = config.version(type);
  if (!kept.has(KEPT)) kept.set(KEPT, new Map());
  const types = kept.get(KEPT);
  if (types.get(type)?.version !== version) types.set(type, { version, makers: new Map() });
  const { makers } = types.get(type);
  if (!makers.has(make)) makers.set(make, new Map());
  const values = makers.get(make);
  if (!values.has(which)) values.set(which, produce());
  return values.get(which);
}
