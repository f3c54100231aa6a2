// A built component, run in Node's own WebAssembly with the kit's host: what the SDK does in the engine is what it does in a test.

import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';

import { transpile } from '@bytecodealliance/jco';

import { build } from '../build/build.js';
import { Message } from '../src/index.js';
import { handler } from './component/processor.js';
import { Answer, kit } from '../src/testing/index.js';

const SDK = dirname(dirname(fileURLToPath(import.meta.url)));
const PROJECT = join(SDK, 'test/component');
const INTERFACES = { cli: 'cli', clocks: 'clocks', io: 'io', random: 'random', filesystem: 'filesystem', sockets: 'sockets' };

const folder = mkdtempSync(join(tmpdir(), 'weir-sdk-component-'));
let instantiate;

before(async () => {
  const { component } = await built();
  const { files } = await transpile(component, { name: 'component', instantiation: 'async', noTypescript: true });
  for (const [name, content] of Array.isArray(files) ? files : Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  writeFileSync(join(folder, 'package.json'), '{"type": "module"}');
  symlinkSync(join(SDK, 'node_modules'), join(folder, 'node_modules'));
  const made = await import(pathToFileURL(join(folder, 'component.js')).href);
  const shim = await import('@bytecodealliance/preview2-shim');
  const wasi = {};
  for (const [from, name] of Object.entries(INTERFACES)) {
    for (const [part, value] of Object.entries(shim[from])) wasi[`wasi:${name}/${part.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`] = value;
  }
  const core = (path) => WebAssembly.compile(readFileSync(join(folder, path)));
  instantiate = async (host) => {
    const contract = Object.fromEntries(Object.entries(host).map(([name, part]) => [`weir:processor/${name}`, part]));
    return made.instantiate(core, { ...wasi, ...contract });
  };
});

after(() => rmSync(folder, { recursive: true, force: true }));

async function built() {
  const output = join(folder, 'component.wasm');
  await build({ project: PROJECT, source: 'processor.js', wit: join(SDK, '../../wit'), cache: join(SDK, '.weir/build'), output });
  return { component: readFileSync(output) };
}

/** A kit of the component, in place of the author's module: `prepared` sets it up. */
async function both(prepared) {
  const native = prepared(kit(handler, { descriptor: join(PROJECT, 'descriptor.json') }));
  const inEngine = prepared(kit(handler, { descriptor: join(PROJECT, 'descriptor.json') }));
  await inEngine.runIn(instantiate);
  return [native, inEngine];
}

const summary = (handled) => ({
  failure: handled.failure && [handled.failure.verdict, handled.failure.reason.replace(/:\d+(:\d+)?\)/g, ':N)').replace(/ \(.*\/test\/component\//g, ' (').replace(/^.*Error: .*/gm, 'ERROR'), handled.failure.delay],
  sent: handled.sent.map(({ to, message }) => [to, message.text(), message.contentType, message.properties]),
  replies: handled.failure ? [] : handled.replies().map((part) => part.text()),
  requests: handled.requests.map(({ to, message }) => [to, message.text()]),
  log: handled.log.map(({ level, message, fields }) => [level, message.replace(/\n.*/gs, ''), fields]),
});

test('a component does what its processor does in a test', async () => {
  const prepared = (made) => made.parameter('size', 7).config('rule', 'a', { x: 1 }).answer('model', (asked) => ({ asked: asked.json().do }), Answer.error('timeout', 'slow'));
  const [native, inEngine] = await both(prepared);
  const tasks = ['echo', 'nothing', 'several', 'generated', 'awaited', 'properties', 'bytes', 'context', 'parameters', 'config', 'logged', 'reject', 'busy', 'string',
    'nope', 'request', 'request', 'circular', 'map', 'echo'];
  for (const task of tasks) {
    const message = { do: task, text: 'grün \u{1f600}' };
    assert.deepEqual(summary(await inEngine.handle('input', message)), summary(await native.handle('input', message)), task);
  }
  for (const body of ['', '{"do": [1,}', Uint8Array.of(0x22, 0xff, 0x22), '\ufeff{}']) {
    const { failure } = await inEngine.handle('input', new Message(body));
    assert.equal(failure.verdict, 'reject');
    assert.equal(failure.reason, (await native.handle('input', new Message(body))).failure.reason);
  }
  for (const question of ['one', 'parts']) {
    assert.deepEqual(summary(await inEngine.handle('ask', { do: question })), summary(await native.handle('ask', { do: question })), question);
  }
});

test('exceptions have the author\'s lines, and the instance goes on', async () => {
  const [, inEngine] = await both((made) => made);
  const reason = async (task) => (await inEngine.handle('input', { do: task })).failure.reason;
  assert.match(await reason('throw'), /^TypeError: .*\n {4}at deep \(processor\.js:\d+\)\n {4}at /);
  assert.match(await reason('cause'), /^Error: outer\n(.*\n)+caused by: TypeError: inner\n {4}at /);
  assert.match(await reason('recursion'), /^InternalError: too much recursion\n {4}at again \(processor\.js:\d+\) \(\d+ times\)/);
  assert.match(await reason('never'), /the promise that the handler returned never settles/);
  assert.match(await reason('fetch'), /`fetch` is not available: a processor has no access to the network/);
  assert.equal((await inEngine.handle('input', { do: 'echo' })).failure, undefined);
});

test('random numbers differ between instances', async () => {
  const [, one] = await both((made) => made);
  const [, other] = await both((made) => made);
  const random = async (made) => (await made.handle('input', { do: 'random' })).json('output')[0];
  assert.notEqual(await random(one), await random(other));
});
