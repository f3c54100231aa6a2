// The tools of a build: esbuild, and, where no engine is prepared yet, those that prepare it.

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { Fault } from './fault.js';

const COMPONENTIZE = '@bytecodealliance/componentize-js';
const JCO = '@bytecodealliance/jco';
const TRANSPILE = '@bytecodealliance/jco-transpile';
const SHIM = '@bytecodealliance/preview2-shim';

const SDK = dirname(dirname(fileURLToPath(import.meta.url)));

/** The versions of what goes into an engine: one engine for all builds, and the inner interfaces used here are not stable. */
export const VERSIONS = { [COMPONENTIZE]: '0.23.0', [JCO]: '1.35.0' };

/** esbuild of the project, else of the SDK. */
export async function loadEsbuild(project) {
  const folder = packageFolder(project, 'esbuild');
  try {
    return (await import(pathToFileURL(createRequire(join(folder, 'package.json')).resolve('esbuild')).href)).default;
  } catch (error) {
    throw new Fault(`esbuild does not start: ${error.message}; run \`npm install\` on this machine, since it has a program for each kind of machine`, { cause: error });
  }
}

/** The files of the tools that prepare an engine. */
export function engineTools(project) {
  const componentize = packageFolder(project, COMPONENTIZE);
  checkVersion(COMPONENTIZE, componentize);
  // A lock file made where this was left out installs a toolchain that cannot start.
  packageFolder(componentize, SHIM, `remove package-lock.json and run \`npm install\` again: ${COMPONENTIZE} needs it to start`);
  const jco = packageFolder(project, JCO);
  checkVersion(JCO, jco);
  return {
    engine: join(componentize, 'lib/starlingmonkey_embedding.wasm'),
    splicer: join(componentize, 'lib/spidermonkey-embedding-splicer.js'),
    wasmTools: join(packageFolder(jco, TRANSPILE), 'dist/wasm-tools.js'),
    adapter: join(jco, 'lib/wasi_snapshot_preview1.reactor.wasm'),
  };
}

function checkVersion(name, folder) {
  const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  if (version !== VERSIONS[name]) throw new Fault(`${name} is installed as ${version}, but this weir-sdk requires ${VERSIONS[name]}: set this version in package.json, then run \`npm install\``);
}

/** The folder of a package, as modules in `from` find it, else those of the SDK. */
function packageFolder(from, name, cure = 'add it to the devDependencies in package.json, and run `npm install`') {
  const found = lookUp(from, name) ?? lookUp(SDK, name);
  if (!found) throw new Fault(`${name} is not installed in ${from}: ${cure}`);
  return found;
}

function lookUp(from, name) {
  for (let at = from; ; at = dirname(at)) {
    const folder = join(at, 'node_modules', name);
    if (existsSync(join(folder, 'package.json'))) return folder;
    if (dirname(at) === at) return undefined;
  }
}
