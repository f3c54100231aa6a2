// Fixtures in the kit: what `weir test` compares is compared here.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { config, Message, processor, request, send } from '../src/index.js';
import { kit, runFixture } from '../src/testing/index.js';

const folder = mkdtempSync(join(tmpdir(), 'weir-sdk-fixtures-'));
after(() => rmSync(folder, { recursive: true }));

const DESCRIPTOR = { schema: 1, consumers: ['input'], producers: ['output'] };

/** Runs a fixture with a handler. */
function run(fixture, handle, descriptor = DESCRIPTOR) {
  const file = join(folder, 'fixture.json');
  writeFileSync(file, JSON.stringify(fixture));
  return runFixture(kit(processor(handle, { as: 'message' }), { descriptor }), file);
}

const echo = (message) => message;
const step = (message, expected) => ({ messages: [{ message, expected }] });

test('differences are told with the message, the place and both values', async () => {
  const fixture = {
    messages: [
      { message: { json: 1 }, expected: { outputs: { output: [{ json: 1 }] } } },
      { message: { json: { a: 1 } }, expected: { outputs: { output: [{ json: { a: 2 } }], copies: [{ text: 'x' }] }, failure: { verdict: 'reject', reason: 'no' } } },
    ],
  };
  await assert.rejects(run(fixture, echo), {
    name: 'AssertionError',
    message: [
      'fixture.json, message 2:',
      '  outputs.copies[0]\n    expected x\n    found    nothing',
      '  outputs.output[0].json\n    expected {"a":2}\n    found    {"a":1}',
      '  failure\n    expected reject: no\n    found    none',
    ].join('\n'),
  });
});

test('contents, content types and properties are compared', async () => {
  writeFileSync(join(folder, 'body.bin'), Uint8Array.of(0, 255));
  const same = (sent, received) => run(step(sent, { outputs: { output: [received] } }), echo);
  await same({ base64: 'AP8=' }, { file: 'body.bin', 'content-type': 'application/octet-stream' });
  await same({ file: 'body.bin' }, { base64: 'AP8=' });
  await same({ text: 'hi', properties: { a: 'b' } }, { text: 'hi', 'content-type': 'text/plain', properties: { a: 'b' } });
  await same({ json: null }, { json: null, 'content-type': 'application/json' });
  await assert.rejects(same({ text: 'hi' }, { text: 'ho' }), /outputs\.output\[0\]\n {4}expected ho\n {4}found {4}hi/);
  await assert.rejects(same({ text: 'hi' }, { json: 1 }), /output\[0\]\.json\n {4}expected 1\n {4}found {4}hi/);
  await assert.rejects(same({ json: 1, properties: { a: 'b' } }, { json: 1, properties: {} }), /properties\n {4}expected \{\}\n {4}found {4}\{"a":"b"\}/);
  await assert.rejects(same({ json: 1 }, { json: 1, 'content-type': 'text/plain' }), /content-type\n {4}expected "text\/plain"\n {4}found {4}"application\/json"/);
});

test('outputs beside those of the descriptor are given to one that leaves them open', async () => {
  const route = (message) => send(message.json().to, message);
  const fixture = { outputs: ['bills'], ...step({ json: { to: 'bills' } }, { outputs: { bills: [{ json: { to: 'bills' } }] } }) };
  await run(fixture, route, { ...DESCRIPTOR, producers: ['*'] });
  await assert.rejects(run(fixture, route), /fixture\.json: output `bills` cannot be added: the descriptor has no producer `\*`/);
  await assert.rejects(run({ ...fixture, outputs: [] }, route, { ...DESCRIPTOR, producers: ['*'] }), /there is no output `bills`/);
});

test('what a kit cannot do, and what is no fixture, is an error', async () => {
  const good = step({ json: 1 }, { outputs: { output: [{ json: 1 }] } });
  await assert.rejects(run({ limits: { time: '50 ms' }, ...good }, echo), /^Error: fixture\.json: `limits` has no effect in a test kit, .* run this fixture by `weir test`$/);
  await assert.rejects(run({ mesages: [] }, echo), /fixture\.json: unknown key `mesages`; must be one of: /);
  await assert.rejects(run({}, echo), /`messages` is empty/);
  await assert.rejects(run({ messages: [{ message: { json: 1 } }] }, echo), /message 1: `expected` is missing/);
  await assert.rejects(run(step({ json: 1, text: 'x' }, {}), echo), /message 1: a message must have exactly one of json, text, base64, file/);
  await assert.rejects(run(step({ json: 1 }, { failure: { verdit: 'retry' } }), echo), /unknown key `verdit`/);
  await assert.rejects(run(good, { input: echo, other: echo }, { ...DESCRIPTOR, consumers: ['input', 'other'] }), /message 1: `input` is missing; must be one of: input, other/);
});

test('answers are given once each, and an unexpected request is told', async () => {
  const descriptor = { ...DESCRIPTOR, requests: [{ name: 'model', request: 'question', response: 'answer', 'timeout-ms': 70 }] };
  const ask = () => Message.json([request('model', 1)]);
  const fixture = (answers, expected) => ({ answers: { model: answers }, ...step({ json: 1 }, expected) });
  await run(fixture([{ parts: [{ json: 5 }] }], { outputs: { output: [{ json: [5] }] }, requests: [{ to: 'model', json: 1 }] }), ask, descriptor);
  await run(fixture([{ error: 'timeout' }], { failure: { verdict: 'retry', reason: 'no answer from request:tg:question:test within 70 ms' } }), ask, descriptor);
  await assert.rejects(run(fixture([], { failure: { verdict: 'retry' } }), ask, descriptor), /answers\.model\n {4}expected an answer for each request/);
  await assert.rejects(run(fixture([{ error: 'late' }], {}), ask, descriptor), /an answer has either `parts`, or `error`/);
});

test('the setup and the log are compared, and a trap is one', async () => {
  const refusing = { ...DESCRIPTOR, 'config-types': ['rule'] };
  const setup = (fixture) => {
    const file = join(folder, 'setup.json');
    writeFileSync(file, JSON.stringify(fixture));
    return runFixture(kit(processor(echo, { setup: () => void config.parsed('rule', 'a', (rule) => rule.pattern.length) }), { descriptor: refusing }), file);
  };
  const reason = "the value of config type `rule`, key `a`: Cannot read properties of undefined (reading 'length'): correct the value in the configuration";
  await setup({ config: { rule: { a: {} } }, 'setup-failure': reason });
  await assert.rejects(setup({ config: { rule: { a: { pattern: 'x' } } }, 'setup-failure': 'no' }), /setup-failure\n {4}expected no\n {4}found {4}no failure/);
  const say = () => console.info('said');
  await run(step({ json: 1 }, { log: [{ level: 'info', text: 'said' }] }), say);
  await assert.rejects(run(step({ json: 1 }, { log: [] }), say), /log\n {4}expected \[\]/);
  await run(step({ json: 1 }, { failure: { verdict: 'trap', reason: 'is not declared' } }), () => config.get('secrets', 'a'));
});
