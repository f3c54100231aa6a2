import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Busy, CallError, context, Message, parameter, processor, Reject, Retry, send } from '../src/index.js';
import { kit } from '../src/testing/index.js';
import { DESCRIPTOR } from './descriptor.js';

const made = (handler, options) => kit(processor(handler, options), { descriptor: DESCRIPTOR });
const handle = (handler, value = {}, options = {}) => made(handler, options).handle('input', value);

test('what a handler returns goes to output', async () => {
  const handled = await handle(({ text }) => ({ words: text.split(' ').length }), { text: 'to be' });
  assert.equal(handled.failure, undefined);
  assert.deepEqual(handled.json('output'), [{ words: 2 }]);
  assert.equal(handled.sent[0].message.contentType, undefined);
});

test('nothing, null and undefined send nothing; false, zero and the empty string are messages', async () => {
  for (const nothing of [undefined, null]) assert.deepEqual((await handle(() => nothing)).sent, []);
  for (const value of [false, 0, '']) assert.deepEqual((await handle(() => value)).json('output'), [value]);
  assert.deepEqual((await handle(() => Message.json(null))).json('output'), [null]);
});

test('arrays and generators are several messages', async () => {
  assert.deepEqual((await handle(() => [1, undefined, 'two', null, { three: 3 }])).json('output'), [1, 'two', { three: 3 }]);
  assert.deepEqual((await handle(function* () { yield* [1, 2]; })).json('output'), [1, 2]);
  assert.deepEqual((await handle(async function* () { yield 1; await null; yield 2; })).json('output'), [1, 2]);
  assert.deepEqual((await handle(() => Message.json([1, 2]))).json('output'), [[1, 2]]);
});

test('an asynchronous handler is awaited', async () => {
  const handled = await handle(async (doc) => {
    await new Promise((done) => setImmediate(done));
    return { attempt: context.attempt, doc };
  }, 'x');
  assert.deepEqual(handled.json('output'), [{ attempt: 1, doc: 'x' }]);
  const failed = await handle(async () => Promise.reject(new Reject('no')));
  assert.equal(failed.failure.verdict, 'reject');
});

test('bodies are read as the author wants them', async () => {
  const message = () => new Message('grün', { properties: { colour: 'green' } });
  assert.deepEqual((await handle((text) => text, message(), { as: 'text' })).json('output'), ['grün']);
  assert.deepEqual((await handle((bytes) => bytes.length, message(), { as: 'bytes' })).json('output'), [5]);
  const whole = await handle((received) => received.withProperties({ input: received.input }), message(), { as: 'message' });
  const [{ message: sent }] = whole.sent;
  assert.deepEqual([sent.text(), sent.contentType, sent.properties], ['grün', 'text/plain; charset=utf-8', { colour: 'green', input: 'input' }]);
  assert.throws(() => processor(() => {}, { as: 'xml' }), /`as` must be one of: json, text, bytes, message; not `xml`/);
});

test('bytes are sent as bytes', async () => {
  const [{ message }] = (await handle(() => Uint8Array.of(0, 255))).sent;
  assert.deepEqual([...message.body], [0, 255]);
  assert.equal(message.contentType, 'application/octet-stream');
});

test('a body that cannot be read is rejected, with the place', async () => {
  const reason = async (body) => {
    const { failure } = await handle(() => assert.fail('it is not called'), new Message(body));
    assert.equal(failure.verdict, 'reject');
    return failure.reason;
  };
  assert.equal(await reason(''), 'the body is empty where JSON is expected');
  assert.equal(await reason('{"a": [1,\n {"b": tru}]}'), 'the body is not JSON, field `a[1].b`: expected a value, found `t` at line 2 column 8');
  assert.equal(await reason(Uint8Array.of(0x61, 0x62, 0xff)), 'the body is not UTF-8 text: byte 2 is invalid');
});

test('parameters have the types that the descriptor gives them', async () => {
  let seen;
  const handler = (_, parameters) => {
    seen = parameters;
    return parameter('size');
  };
  const handled = await made(handler).parameter('rules', [{ a: 1 }]).parameter('strict', true).handle('input', {});
  assert.deepEqual(handled.json('output'), [3]);
  assert.deepEqual({ ...seen }, { prefix: '', 'least-score': 0.5, size: 3, strict: true, rules: [{ a: 1 }] });
  assert.equal(seen.leastScore, 0.5);
  assert.equal(seen.label, undefined);
  assert.throws(() => seen.lable, /parameter `lable` does not exist; must be one of: prefix, least-score, size, strict, rules, label/);
  assert.throws(() => {
    seen.size = 4;
  }, TypeError);
});

test('parameters are checked before the first message', async () => {
  await assert.rejects(made(() => {}).parameter('size', 'big').parameter('strict', 'yes').configure(), {
    message: 'parameter `size`: `big` is not a whole number; parameter `strict`: `yes` is not true or false',
  });
  await assert.rejects(made(() => {}).parameter('rules', 'x').handle('input', {}), /the processor failed to start: parameter `rules`: `x` is not JSON/);
  const begun = made(() => {});
  await begun.handle('input', {});
  assert.throws(() => begun.parameter('size', 1), /cannot change in a running instance/);
});

test('failures have verdict, reason and delay', async () => {
  const failure = async (thrown) => {
    const { verdict, reason, delay } = (await handle(() => { throw thrown; })).failure;
    return [verdict, reason, delay];
  };
  assert.deepEqual(await failure(new Retry('later', { delay: 1.5 })), ['retry', 'later', 2]);
  assert.deepEqual(await failure(new Busy('full', { delay: 1e12 })), ['busy', 'full', 0xffff_ffff]);
  assert.deepEqual(await failure(new Reject('never')), ['reject', 'never', undefined]);
  assert.deepEqual(await failure(new CallError('timeout', 'no reply')), ['retry', 'no reply', undefined]);
  assert.throws(() => new Busy('full', { delay: '5s' }), /`delay` must be a number of milliseconds, not string/);
});

test('nothing leaves when a handler throws', async () => {
  const handled = await handle(() => {
    send('output', 1);
    throw new Error('after all');
  });
  assert.deepEqual(handled.sent, []);
  assert.throws(() => handled.json('output'), /nothing left for `output`, since the handler failed: retry: Error: after all/);
});

test('an exception is a retry with the line', async () => {
  const { failure } = await handle(function read(doc) { return doc.text.length; });
  assert.equal(failure.verdict, 'retry');
  assert.match(failure.reason, /^TypeError: .*\n {4}at (?:Object\.)?read \(.*handling\.test\.js:\d+:\d+\)$/);
});

test('causes are told, and what is thrown without being an Error', async () => {
  const reason = async (thrown) => (await handle(() => { throw thrown; })).failure.reason;
  assert.match(await reason(new Error('outer', { cause: new TypeError('inner') })), /^Error: outer\n(.*\n)+caused by: TypeError: inner/);
  assert.equal(await reason('oops'), 'the string "oops" was thrown, which is not an Error: throw new Error(...) instead, which shows where it was thrown');
  assert.match(await reason({ code: 5 }), /^the object \{"code":5\} was thrown/);
  assert.match(await reason(undefined), /^undefined was thrown/);
});

test('what cannot be a message is refused in terms of JavaScript', async () => {
  const reason = async (value) => {
    const { failure } = await handle(() => value);
    assert.equal(failure.verdict, 'retry');
    return failure.reason.split('\n')[0];
  };
  assert.match(await reason(() => {}), /the handler returned a function, which is not a message/);
  assert.match(await reason(5n), /the handler returned a bigint/);
  assert.match(await reason({ a: 5n }), /cannot be written as JSON: .*BigInt/);
  assert.match(await reason(new Map()), /a Map cannot be written as JSON: use Object.fromEntries/);
  assert.match(await reason([new Set()]), /a Set cannot be written as JSON/);
  const circular = {};
  circular.self = circular;
  assert.match(await reason(circular), /cannot be written as JSON: .*circular/i);
  assert.match((await handle(() => send('output', Promise.resolve()))).failure.reason, /the message is a promise: put `await` before it/);
  assert.match((await handle(() => send('output', undefined))).failure.reason, /cannot be written as JSON: it is undefined/);
  assert.match((await handle(() => send({ a: 1 }))).failure.reason, /the first argument of `send` is missing/);
});

test('several inputs have handlers of their own', async () => {
  const handlers = { input: (doc) => doc, control: { as: 'text', handle: (text) => ({ text }) }, ask: () => 'x' };
  const both = made(handlers);
  assert.deepEqual((await both.handle('input', 1)).json('output'), [1]);
  assert.deepEqual((await both.handle('control', Message.text('stop'))).json('output'), [{ text: 'stop' }]);
  assert.throws(() => made({ input: () => {}, control: () => {} }), /no handler for its input `ask`, only for input, control: add one to `processor/);
  assert.throws(() => made({ ...handlers, contrl: () => {} }), /`contrl` has a handler but is not an input: the inputs \(consumers\) in weir.toml are input, control, ask/);
  assert.throws(() => processor({ input: 5 }), /the handler of input `input` must be a function/);
  assert.throws(() => processor(), /takes a function, or an object with a function for each input, not undefined/);
  assert.throws(() => processor(() => {}, { setUp: () => {} }), /no option `setUp`; must be one of: as, setup/);
  await assert.rejects(both.handle('inptu', 1), /input `inptu` does not exist; must be one of: input, control, ask/);
});

test('outside of a handler there is no host', async () => {
  assert.throws(() => context.flow, /`context.flow` works only inside a handler or `setup`/);
  let late;
  await handle(() => {
    late = () => send('output', 1);
  });
  assert.throws(late, /`send` works only inside a handler/);
});
