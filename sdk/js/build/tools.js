// The tools of a project, in its own node_modules.

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

/** The version of the engine that this build drives: its inner interface is not stable. */
const COMPONENTIZE_VERSION = '0.23.0';

/** Finds the tools from the project's folder. */
export async function findTools(project) {
  const componentize = packageFolder(project, COMPONENTIZE);
  const versions = { [COMPONENTIZE]: versionOf(componentize) };
  if (versions[COMPONENTIZE] !== COMPONENTIZE_VERSION) {
    throw new Fault(`${COMPONENTIZE} is installed as ${versions[COMPONENTIZE]}, and this weir-sdk needs ${COMPONENTIZE_VERSION}: set this version in package.json, then run \`npm install\``);
  }
  // A lock file made where these were left out installs a toolchain that cannot start.
  packageFolder(componentize, SHIM, `run \`npm install\` again without package-lock.json: ${COMPONENTIZE} needs it to start`);
  const jco = packageFolder(componentize, JCO);
  const transpile = packageFolder(jco, TRANSPILE);
  versions[JCO] = versionOf(jco);
  const esbuildFolder = packageFolder(project, 'esbuild');
  const esbuild = await load(esbuildFolder);
  return {
    esbuild,
    versions,
    engine: join(componentize, 'lib/starlingmonkey_embedding.wasm'),
    splicer: join(componentize, 'lib/spidermonkey-embedding-splicer.js'),
    wasmTools: join(transpile, 'dist/wasm-tools.js'),
    adapter: join(jco, 'lib/wasi_snapshot_preview1.reactor.wasm'),
  };
}

async function load(esbuildFolder) {
  try {
    return (await import(pathToFileURL(createRequire(join(esbuildFolder, 'package.json')).resolve('esbuild')).href)).default;
  } catch (error) {
    throw new Fault(`esbuild does not start: ${error.message}; run \`npm install\` on this machine, since it has a program for each kind of machine`, { cause: error });
  }
}

/** The folder of a package, as modules in `from` find it, else those of the SDK. */
function packageFolder(from, name, cure = 'run `npm install` in the project') {
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

function versionOf(folder) {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version;
}
