// The JavaScript engine: with the bindings of a world (made once and kept), with a bundle in it, and as a component.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { Fault } from './fault.js';
import { snapshot, withoutInit, withState } from './snapshot.js';
import { engineTools, VERSIONS } from './tools.js';
import { BuildSystem, NoHost } from './wasi.js';

/** `http` and `fetch-event` import wasi:http, which no host gives; the clock and the standard streams are needed by dates and errors. */
export const FEATURES = ['stdio', 'random', 'clocks'];

const INIT = 'componentize.wizer';
const BUNDLE = 'processor.js';
const INITIALIZER = '/initializer.js';
/** Random numbers at build time, such as the seeds of hash tables, begin with this in every build. */
const SEED = 0x77656972;

/** Engines that were prepared when the SDK was packed: with them a project needs no more than esbuild. */
const PACKED = join(dirname(dirname(fileURLToPath(import.meta.url))), 'engine');

const PARTS = ['core', 'shell', 'json'];

/** The engine for a project. */
export class Engine {
  #project;
  #features;

  constructor(project, features = FEATURES) {
    this.#project = project;
    this.#features = features;
  }

  /**
   * The engine with the bindings of a world, from the package or from `cache` if it is there: `core` is the module that runs a bundle's top
   * level, `shell` the component around it, which is given the state that it has then.
   */
  async prepared({ wit, world, cache }) {
    const tag = `engine-${digest([VERSIONS])}`;
    const name = `${tag}-${digest([world, this.#features, ...texts(wit)])}`;
    const files = (folder) => PARTS.map((part) => join(folder, `${name}.${part}`));
    const known = [PACKED, cache].map(files).find((found) => found.every((file) => existsSync(file)));
    if (known) {
      const [core, shell, json] = known.map((file) => readFileSync(file));
      return { ...JSON.parse(json), core, shell, isCached: true };
    }
    const made = await this.#prepare(wit, world);
    mkdirSync(cache, { recursive: true });
    readdirSync(cache).filter((file) => file.startsWith('engine-') && !file.startsWith(`${tag}-`)).forEach((file) => rmSync(join(cache, file), { force: true }));
    const { core, shell, ...json } = made;
    [core, shell, JSON.stringify(json)].forEach((content, i) => write(files(cache)[i], content));
    return { ...made, isCached: false };
  }

  async #prepare(wit, world) {
    const tools = engineTools(this.#project);
    const { splicer } = await import(pathToFileURL(tools.splicer).href);
    const { componentNew } = await import(pathToFileURL(tools.wasmTools).href);
    let spliced;
    try {
      spliced = splicer.spliceBindings(readFileSync(tools.engine), this.#features, undefined, wit, world, false);
    } catch (error) {
      throw new Fault(`the world \`${world}\` cannot be read from ${wit}: ${error.payload ?? error.message}`, { cause: error });
    }
    const { wasm, jsBindings: bindings, exports, imports } = spliced;
    const stubbed = splicer.stubWasi(withoutInit(wasm, INIT), this.#features, undefined, wit, world);
    const shell = componentNew(stubbed, [['wasi_snapshot_preview1', readFileSync(tools.adapter)]], false);
    return { core: Buffer.from(wasm), shell: Buffer.from(await shell), bindings, exports, imports };
  }

  /** The component of a bundle, whose top level is run now. `place` finds the author's line of a line of the bundle. */
  component(prepared, { code, place, print }) {
    const files = { [INITIALIZER]: prepared.bindings, [`/${BUNDLE}`]: code };
    const stdin = `--initializer-script-path ${INITIALIZER} --strip-path-prefix / ${BUNDLE}`;
    const system = new BuildSystem({ files, env: this.#env(prepared), stdin, seed: SEED });
    let made;
    try {
      made = snapshot(prepared.core, INIT, system);
    } catch (error) {
      throw new Fault(topLevelFault(system.output, error, place), { cause: error });
    }
    if (made.instance.exports.check_init() !== 0) throw new Fault(topLevelFault(system.output, undefined, place));
    print(system.output.stdout + system.output.stderr);
    return withState(prepared.shell, made.state);
  }

  /** What the engine reads of the world's functions. */
  #env({ exports, imports }) {
    const clocks = this.#features.includes('clocks') ? '1' : '';
    const env = { DEBUG: '', SOURCE_NAME: BUNDLE, FEATURE_CLOCKS: clocks, EXPORT_CNT: exports.length, IMPORT_CNT: imports.length };
    exports.forEach(([name, { paramptr, params, retptr, ret, retsize }], i) => {
      env[`EXPORT${i}_NAME`] = name;
      env[`EXPORT${i}_ARGS`] = (paramptr ? '*' : '') + params.join(',');
      env[`EXPORT${i}_RET`] = (retptr ? '*' : '') + (ret ?? '');
      env[`EXPORT${i}_RETSIZE`] = retsize;
    });
    imports.forEach(([, name, count], i) => {
      env[`IMPORT${i}_NAME`] = name;
      env[`IMPORT${i}_ARGCNT`] = count;
    });
    return env;
  }
}

function digest(values) {
  return createHash('sha256').update(JSON.stringify(values)).digest('hex').slice(0, 12);
}

/** The names and texts of a folder of WIT. */
function texts(wit) {
  const names = readdirSync(wit).filter((name) => name.endsWith('.wit')).sort();
  return names.flatMap((name) => [name, readFileSync(join(wit, name), 'utf8')]);
}

/** Writes a file as a whole or not at all. */
function write(path, content) {
  writeFileSync(`${path}.new`, content);
  renameSync(`${path}.new`, path);
}

/** What people wonder about: the engine has no tables of Unicode, which saves 10 MB. */
const NO_UNICODE = [
  [/Intl is not defined/, '`Intl` is not available: the engine has no data on languages'],
  [/invalid (class )?property name in regular expression/, 'regular expressions cannot use \\p{...}: the engine has no tables of Unicode; list the ranges of characters, as [a-zäöü] or [\\u0400-\\u04ff]'],
  [/normalize is not a function/, '`String.prototype.normalize` is not available: the engine has no tables of Unicode'],
];

/** A failed top level is a rejected promise inside of the engine, which says so too. */
const NOISE = /^\s*Stack:|^Additionally, some promises were rejected|^Promise rejected but never handled/;

/** An exception at the top level of a module, with the author's lines. */
function topLevelFault({ stdout, stderr }, error, place) {
  const reason = error instanceof NoHost ? error.message : stderr.replace(/^Exception while evaluating top-level script\n/m, '').trim();
  const text = reason || error?.message || 'the engine gave no reason';
  const lines = text.split('\n').flatMap((line) => {
    const frame = /^(\s*)(.*?)@(.*?):(\d+):(\d+)\s*$/.exec(line);
    if (!frame) return [line.replace(/^processor\.js:(\d+):\d+ /, (_start, number) => shownPlace(place(Number(number))))];
    const at = frame[3].endsWith(BUNDLE) ? place(Number(frame[4])) : undefined;
    return at ? [`    at ${frame[2] ? `${frame[2]} (${at.file}:${at.line})` : `${at.file}:${at.line}`}`] : [];
  });
  const shown = lines.filter((line) => !NOISE.test(line));
  const hint = NO_UNICODE.find(([pattern]) => pattern.test(text))?.[1];
  // What is wrong with the module as a whole, the SDK says.
  const ofSdk = /^TypeError: (.* exports .*)$/.exec(shown[0]);
  if (ofSdk && shown.length === 1) return ofSdk[1];
  if (hint) shown.push(hint);
  if (stdout) shown.push(`printed before: ${stdout.trim()}`);
  return `the top level of the module failed, which runs once, when the component is built:\n${shown.join('\n')}`;
}

/** Lines of the SDK are of no use to an author. */
function shownPlace(at) {
  return at ? `${at.file}:${at.line}: ` : '';
}
