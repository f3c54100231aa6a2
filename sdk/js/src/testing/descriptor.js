// The descriptor, checked as a host does, and with errors for unknown keys.

import { MAX_WORKERS_COUNT, names, outOfBounds, shown } from './bounds.js';

const NAMED = ['name', 'description'];

/** The keys of each object; `lists` are those in which a string stands for `{"name": string}`. */
const KEYS = {
  descriptor: ['$schema', 'schema', 'name', 'version', 'description', 'consumers', 'producers', 'requests', 'parameters', 'config-types', 'grants', 'concurrency', 'limits'],
  consumers: [...NAMED, 'concurrency', 'order-by', 'reply'],
  producers: [...NAMED, 'optional'],
  requests: [...NAMED, 'request', 'response', 'timeout-ms'],
  parameters: [...NAMED, 'type', 'default', 'required', 'enum'],
  'config-types': NAMED,
};

const TYPES = {
  string: [() => true, 'text'],
  integer: [(text) => /^[+-]?\d+$/.test(text) && BigInt.asIntN(64, BigInt(text)) === BigInt(text), 'a whole number'],
  number: [(text) => /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text) && Number.isFinite(Number(text)), 'a number'],
  boolean: [(text) => text === 'true' || text === 'false', 'true or false'],
  json: [isJson, 'JSON'],
};

function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

export class Descriptor {
  /** Reads a descriptor, an object; what is wrong is thrown, and names the field. */
  constructor(value) {
    const bounds = outOfBounds(value);
    if (bounds) throw new Error(bounds);
    checkKeys('the descriptor', value, KEYS.descriptor);
    if (value.schema !== 1) throw new Error(`field \`schema\` of the descriptor is ${value.schema ?? 'missing'}; this Weir supports 1`);
    this.name = value.name;
    this.version = value.version;
    for (const list of ['consumers', 'producers', 'requests', 'parameters', 'config-types']) this[list] = readList(list, value[list] ?? []);
    this.configTypes = this['config-types'];
    this.#check(value.concurrency);
  }

  #check(concurrency = 1) {
    const workers = this.consumers.reduce((sum, consumer) => sum + (consumer.concurrency ?? concurrency), 0);
    if (workers > MAX_WORKERS_COUNT) throw fault('concurrency', `of all consumers together is ${workers}; at most ${MAX_WORKERS_COUNT} is allowed`);
    const isOutput = (name) => this.producers.some((producer) => producer.name === name);
    for (const { name, reply } of this.consumers) {
      if (reply !== undefined && !isOutput(reply)) throw fault(`consumers.${name}.reply`, `\`${reply}\` is not among the producers`);
      if (isOutput(name)) throw fault(`consumers.${name}`, 'is also among the producers: a topic must be one or the other');
    }
    for (const parameter of this.parameters) {
      const problem = parameter.default === undefined ? undefined : parameterProblem(parameter, parameter.default);
      if (problem) throw fault(`parameters.${parameter.name}.default`, problem);
    }
  }

  /** The input of a name. */
  input(name) {
    const found = this.consumers.find((consumer) => consumer.name === name);
    if (found) return found;
    throw new Error(`input \`${shown(name)}\` does not exist; must be one of: ${names(this.consumers.map((consumer) => consumer.name))}`);
  }

  get hasOpenOutputs() {
    return this.producers.some((producer) => producer.name === '*');
  }
}

/** What is wrong with a value of a parameter, or `undefined`. */
export function parameterProblem({ type = 'string', enum: choices = [] }, value) {
  const [fits, wanted] = TYPES[type];
  if (!fits(value)) return `\`${shown(value)}\` is not ${wanted}`;
  if (choices.length > 0 && !choices.includes(value)) return `\`${shown(value)}\` is not one of ${choices.join(', ')}`;
  return undefined;
}

function fault(field, problem) {
  return new Error(`field \`${field}\` of the descriptor: ${problem}`);
}

function checkKeys(what, value, known) {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`${what} does not match the schema weir:descriptor/1: it is not an object`);
  const strange = Object.keys(value).find((key) => !known.includes(key));
  if (strange !== undefined) throw new Error(`${what} does not match the schema weir:descriptor/1: unknown key \`${shown(strange)}\`, expected one of ${known.join(', ')}`);
}

function readList(list, items) {
  if (!Array.isArray(items)) throw fault(list, 'is not a list');
  const seen = new Set();
  return items.map((item) => {
    const entry = typeof item === 'string' && list !== 'requests' ? { name: item } : item;
    checkKeys(`an element of \`${list}\``, entry, KEYS[list]);
    const { name } = entry;
    if (typeof name !== 'string' || name === '' || /[\u0000-\u001f\u007f-\u009f]/.test(name)) throw fault(list, 'contains an empty name or one with control characters');
    if (seen.has(name)) throw fault(list, `names \`${name}\` twice`);
    seen.add(name);
    if (list === 'parameters') checkParameter(entry);
    return entry;
  });
}

function checkParameter({ name, type, default: value }) {
  if (type !== undefined && !Object.hasOwn(TYPES, type)) throw fault(`parameters.${name}.type`, `is \`${shown(type)}\`; it must be one of ${Object.keys(TYPES).join(', ')}`);
  if (value !== undefined && typeof value !== 'string') throw fault(`parameters.${name}.default`, `is ${typeof value}, expected a string`);
}
