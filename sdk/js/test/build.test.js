// The build, with the real tools, which `npm install` brings here. Components run in `tests/it/sdk`.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { build, Fault } from '../build/build.js';
import { importsOf } from '../build/imports.js';

const SDK = dirname(dirname(fileURLToPath(import.meta.url)));
const WIT = join(SDK, '../../wit');
const CACHE = join(SDK, '.weir/build');
const MANIFEST = 'name = "probe"\nversion = "0.1.0"\nconsumers = ["input"]\nproducers = ["output"]\n';

const folders = [];
after(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

/** A project of files, built. Gives back what was built, the warnings and what the top level printed. */
async function built(files, options = {}) {
  const project = mkdtempSync(join(tmpdir(), 'weir-sdk-build-'));
  folders.push(project);
  for (const [name, text] of Object.entries({ 'weir.toml': MANIFEST, ...files })) {
    mkdirSync(dirname(join(project, name)), { recursive: true });
    writeFileSync(join(project, name), text);
  }
  const said = { warnings: [], printed: '' };
  const result = await build({
    project,
    wit: WIT,
    output: 'probe.wasm',
    cache: CACHE,
    warn: (text) => said.warnings.push(text),
    print: (text) => {
      said.printed += text;
    },
    ...options,
  });
  return { ...result, ...said, component: readFileSync(result.output) };
}

async function fault(source, files = {}, options = {}) {
  try {
    await built({ 'src/processor.js': source, ...files }, options);
  } catch (error) {
    assert.ok(error instanceof Fault, `${error.stack}`);
    return error.message;
  }
  return assert.fail('it can be built');
}

const ECHO = "import { processor } from 'weir-sdk';\nexport const handler = processor((doc) => doc);\n";

test('a component imports what a host gives, and the same sources give the same bytes', async () => {
  const [one, other] = [await built({ 'src/processor.js': ECHO }), await built({ 'src/processor.js': ECHO })];
  const digest = ({ component }) => createHash('sha256').update(component).digest('hex');
  assert.equal(digest(one), digest(other));
  const imports = importsOf(one.component);
  for (const name of ['context', 'messaging', 'config', 'log']) assert.ok(imports.includes(`weir:processor/${name}@0.1.0`), `${name} in ${imports}`);
  assert.deepEqual(imports.filter((name) => name.includes('http')), []);
  assert.ok(other.isEngineCached);
});

test('types are removed, and libraries of the project are bundled', async () => {
  const { warnings, printed } = await built({
    'src/processor.ts': "import { processor } from 'weir-sdk';\nimport { twice } from 'twice';\nimport { three } from './three.js';\ninterface Doc { n: number }\nconsole.log('at build', twice(three as number));\nexport const handler = processor<Doc>(({ n }) => twice(n));\n",
    'src/three.ts': 'export const three: number = 3;\n',
    'node_modules/twice/package.json': '{"name": "twice", "main": "index.js"}',
    'node_modules/twice/index.js': 'exports.twice = (n) => 2 * n;\n',
  });
  assert.deepEqual(warnings, []);
  assert.match(printed, /at build 6/);
});

test('a source that cannot be read is shown with its line', async () => {
  assert.match(await fault('import { processor } from "weir-sdk";\nexport const handler = processor((doc => doc);\n'), /^src\/processor\.js:2:\d+: Expected "\)" but found ";"\n {4}export const handler/);
  assert.match(await fault(ECHO + "import './missing.js';\n"), /^src\/processor\.js:3:\d+: Could not resolve "\.\/missing\.js"/);
  const gone = await fault(ECHO + "import { gone } from 'gone';\n");
  assert.match(gone, /^src\/processor\.js:3:\d+: Could not resolve "gone"\n {4}import .*\n {2}if it is a package: npm install gone$/);
});

test('a missing or wrong handler is an error', async () => {
  assert.match(await fault('export const handle = () => {};\n'), /^src\/processor\.js exports no `handler` \(it exports: handle\): write `export const handler = processor\(/);
  assert.match(await fault('export const handler = (doc) => doc;\n'), /^src\/processor\.js exports a function as `handler`, which was not made by `processor`/);
  assert.match(await fault("import { processor } from 'weir-sdk';\nexport const handler = processor({ inptu: () => {} });\n"), /`inptu` has a handler but is not an input: the inputs \(consumers\) in weir\.toml are input/);
  assert.match(await fault(ECHO, {}, { source: 'src/other.js' }), /source src\/other\.js does not exist in /);
  const withSetup = "import { processor } from 'weir-sdk';\nexport const handler = processor((doc) => doc, { setup() {} });\n";
  assert.match(await fault(withSetup, {}, { world: 'processor' }), /`setup` requires the world `configurable-processor`/);
});

test('an exception at the top level is shown with its line', async () => {
  const thrown = await fault(`${ECHO}function deep() {\n  null.x;\n}\ndeep();\n`);
  assert.match(thrown, /^the top level of the module failed, which runs once, when the component is built:\nsrc\/processor\.js:4: TypeError: .* of null\n {4}at deep \(src\/processor\.js:4\)\n {4}at src\/processor\.js:6$/);
  assert.match(await fault(`${ECHO}import { parameter } from 'weir-sdk';\nparameter('a');\n`), /`parameters?` works only inside a handler.*\n(.*\n)*? {4}at src\/processor\.js:4/);
  assert.match(await fault(`${ECHO}crypto.randomUUID();\n`), /a function of `crypto` that makes random numbers was called at the top level/);
  assert.match(await fault(`${ECHO}setTimeout(() => {}, 1);\n`), /setTimeout can only be used during request handling/);
});

test('what the engine does not have is named', async () => {
  assert.match(await fault(`${ECHO}export const letters = /\\p{L}/u;\n`), /src\/processor\.js:3: SyntaxError: invalid property name.*\n(.*\n)*.*the engine has no tables of Unicode/);
  assert.match(await fault(`${ECHO}new Intl.NumberFormat('de');\n`), /`Intl` is not available/);
});

test('modules of Node.js are refused with the file that imports them', async () => {
  const reading = await fault(`${ECHO}import { readFileSync } from 'node:fs';\nreadFileSync('x');\n`);
  assert.match(reading, /^src\/processor\.js:3:\d+: `node:fs` is a module of Node\.js: a processor has no files\n {4}import/);
  assert.match(await fault(`${ECHO}import net from 'net';\nnet.connect(1);\n`), /`net` is a module of Node\.js: a processor has no access to the network/);
  assert.match(await fault(`${ECHO}import { Worker } from 'worker_threads';\nnew Worker('x');\n`), /`worker_threads` is a module of Node\.js: a processor has no threads; set `concurrency`/);
  const library = { 'node_modules/reads/package.json': '{"name": "reads"}', 'node_modules/reads/index.js': "module.exports = require('fs').readFileSync;\n" };
  assert.match(await fault(`${ECHO}import reads from 'reads';\nreads();\n`, library), /^node_modules\/reads\/index\.js:1:\d+: `fs` is a module of Node\.js: a processor has no files: use a library, or a part of it, that works in browsers too/);
  assert.match(await fault(`${ECHO}import { kit } from 'weir-sdk/testing';\nkit();\n`), /`weir-sdk\/testing` cannot be part of a component/);
});

test('a package of the project may stand in for a module of Node.js', async () => {
  const events = { 'node_modules/events/package.json': '{"name": "events"}', 'node_modules/events/index.js': 'exports.on = () => 5;\n' };
  const { printed } = await built({ 'src/processor.js': `${ECHO}import { on } from 'events';\nconsole.log(on());\n`, ...events });
  assert.match(printed, /5/);
});

test('an engine that imports wasi:http is refused, with the flag', async () => {
  const refused = await fault(ECHO, {}, { features: ['stdio', 'random', 'clocks', 'http'], cache: mkdtempSync(join(tmpdir(), 'weir-sdk-build-')) });
  assert.match(refused, /the component imports wasi:http\/.*: the engine was built with the features http and fetch-event; pass disableFeatures: \['http', 'fetch-event'\]/);
});

test('a wrong folder of the contract and a wrong world are errors', async () => {
  assert.match(await fault(ECHO, {}, { wit: SDK }), /processor\.wit does not exist in /);
  assert.match(await fault(ECHO, {}, { world: 'nonsense' }), /the world `nonsense` cannot be read from /);
});
