// From an author's source to a component.

import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, isAbsolute, join, resolve } from 'node:path';

import { readDescriptor } from '../project/descriptor.js';
import { readDeclared } from '../src/host.js';
import { bundle } from './bundle.js';
import { Engine } from './engine.js';
import { Fault } from './fault.js';
import { checkImports } from './imports.js';
import { loadEsbuild } from './tools.js';

export { Fault };

const SOURCES = ['src/processor.ts', 'src/processor.js'];

/**
 * Builds the component of `project` and writes it to `output`. `wit` is the folder of the contract, `world` a world in it. `descriptor`
 * is the descriptor as an object; the project's own if it is not given. `warn` and `print` take what people should see.
 */
export async function build({ project, source, wit, world = 'configurable-processor', output, descriptor, cache, features, warn = () => {}, print = () => {} }) {
  const started = Date.now();
  const folder = resolve(project);
  const file = findSource(folder, source);
  const declared = readDeclared(descriptor ?? describe(folder));
  const kept = cache ?? join(folder, '.weir/build');
  const witFolder = checkedWit(resolve(wit));
  const bundled = await bundle(await loadEsbuild(folder), { project: folder, source: file, declared, world, warn });
  const engine = new Engine(folder, features);
  const prepared = await engine.prepared({ wit: witFolder, world, cache: kept });
  const component = engine.component(prepared, { ...bundled, print });
  checkImports(component);
  const target = isAbsolute(output) ? output : join(folder, output);
  mkdirSync(dirname(target), { recursive: true });
  writeFileSync(target, component);
  return { output: target, bytes: component.length, bundleBytes: Buffer.byteLength(bundled.code), ms: Date.now() - started, isEngineCached: prepared.isCached };
}

/** Prepares the engine for a world into a folder: what the first build does, and what `npm pack` puts into the package. */
export async function prepare({ project, wit, world = 'configurable-processor', cache, features }) {
  return (await new Engine(resolve(project), features).prepared({ wit: checkedWit(resolve(wit)), world, cache: resolve(cache) })).isCached;
}

function describe(folder) {
  try {
    return readDescriptor(folder);
  } catch (error) {
    throw new Fault(error.message, { cause: error });
  }
}

function findSource(folder, source) {
  const tried = source ? [source] : SOURCES;
  const found = tried.map((name) => resolve(folder, name)).find((path) => existsSync(path) && statSync(path).isFile());
  if (!found) throw new Fault(`source ${tried.join(' or ')} does not exist in ${folder}: create it, or set \`source\` in weir.toml`);
  return found;
}

function checkedWit(folder) {
  if (existsSync(join(folder, 'processor.wit'))) {
    readFileSync(join(folder, 'processor.wit'));
    return folder;
  }
  throw new Fault(`processor.wit does not exist in ${folder}: pass the folder with the contract of Weir as --wit`);
}
