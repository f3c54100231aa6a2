// The descriptor of a project: what weir.toml says, or a hand-written descriptor.json.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

import { parseToml } from './toml.js';

const MANIFEST = 'weir.toml';
const DESCRIPTOR = 'descriptor.json';

/** Keys of weir.toml that are about the build, and no part of the descriptor. */
const OF_THE_BUILD = ['language', 'source'];

const SIZES = { B: 1, KiB: 1 << 10, MiB: 1 << 20, GiB: 1 << 30 };
const TIMES = { ms: 1, s: 1000, min: 60_000, h: 3_600_000 };

/** The descriptor of the project in `folder`; `undefined` if the folder has none. What is wrong is thrown with the file's name. */
export function readDescriptor(folder) {
  const manifest = join(folder, MANIFEST);
  if (existsSync(manifest)) return inFile(manifest, () => ofManifest(parseToml(readFileSync(manifest, 'utf8'))));
  const descriptor = join(folder, DESCRIPTOR);
  return existsSync(descriptor) ? inFile(descriptor, () => JSON.parse(readFileSync(descriptor, 'utf8'))) : undefined;
}

/** The nearest project from `folder` upwards: its folder and its descriptor. */
export function findProject(folder) {
  for (let at = folder; ; at = dirname(at)) {
    const descriptor = readDescriptor(at);
    if (descriptor) return { folder: at, descriptor };
    if (dirname(at) === at) throw new Error(`neither ${folder} nor a folder above it has a ${MANIFEST} or a ${DESCRIPTOR}: run the tests in the project's folder, or pass { descriptor }`);
  }
}

function inFile(path, read) {
  try {
    return read();
  } catch (error) {
    throw new Error(`${path}: ${error.message}`, { cause: error });
  }
}

/** The descriptor that a weir.toml stands for. */
export function ofManifest(manifest) {
  const { limits, parameters, ...rest } = manifest;
  const descriptor = { schema: 1 };
  for (const [key, value] of Object.entries(rest)) if (!OF_THE_BUILD.includes(key)) descriptor[key] = value;
  if (parameters) descriptor.parameters = parameters.map(withText);
  if (limits) descriptor.limits = readLimits(limits);
  return descriptor;
}

/** Values of parameters are strings in a descriptor. */
function withText(parameter) {
  if (typeof parameter === 'string') return parameter;
  const text = (value) => (typeof value === 'string' ? value : typeof value === 'object' ? JSON.stringify(value) : String(value));
  const read = { ...parameter };
  if ('default' in read) read.default = text(read.default);
  if ('enum' in read) read.enum = read.enum.map(text);
  return read;
}

function readLimits(limits) {
  const names = { memory: ['memory-bytes', SIZES], time: ['time-ms', TIMES] };
  return Object.fromEntries(
    Object.entries(limits).map(([key, value]) => {
      const [name, units] = names[key] ?? [key, undefined];
      return [name, units ? quantity(`limits.${key}`, value, units) : value];
    }),
  );
}

function quantity(field, value, units) {
  const found = /^(\d+(?:\.\d+)?)\s*([A-Za-z]+)$/.exec(String(value));
  const unit = units[found?.[2]];
  if (unit === undefined) throw new Error(`field \`${field}\` is "${value}"; write a number and a unit (${Object.keys(units).join(', ')})`);
  return Math.round(Number(found[1]) * unit);
}
