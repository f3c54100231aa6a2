import assert from 'node:assert/strict';
import { test } from 'node:test';

import { beginRequest, CallError, context, Message, processor, reply, replyPart, request, requestParts, send, sendAll } from '../src/index.js';
import { Answer, kit } from '../src/testing/index.js';
import { DESCRIPTOR } from './descriptor.js';

const made = (handler) => kit(processor(handler), { descriptor: DESCRIPTOR });

const refusal = (call) => {
  try {
    call();
  } catch (error) {
    return [error.kind, error.reason];
  }
  return undefined;
};

test('messages go to the outputs that are named, in order', async () => {
  const handled = await made(() => {
    send('rest', 1);
    sendAll('output', [2, 3]);
    send('extra', Message.json(4, { properties: { colour: 'red', missing: undefined, size: 5 } }));
  }).handle('input', {});
  assert.deepEqual(handled.sent.map(({ to }) => to), ['rest', 'output', 'output', 'extra']);
  assert.deepEqual(handled.outputs('extra')[0].properties, { colour: 'red', size: '5' });
  assert.throws(() => handled.json('outptu'), /output `outptu` does not exist; must be one of: output, rest, answer, extra/);
});

test('an output without a topic swallows what is sent to it', async () => {
  const handled = await made(() => {
    send('extra', 1);
    return context.outputs;
  }).withoutOutput('extra').handle('input', {});
  assert.deepEqual(handled.sent.map(({ to }) => to), ['output', 'output', 'output']);
});

test('what can never be sent is refused in the words of a host', async () => {
  const handled = await made(() => {
    const seen = [
      refusal(() => send('nope', 1)),
      refusal(() => send('output', new Message('x', { properties: { 'weir-id': '1' } }))),
      refusal(() => send('output', new Message(new Uint8Array((4 << 20) + 1)))),
      refusal(() => send('output', new Message('x', { properties: { ['n'.repeat(129)]: 'v' } }))),
      refusal(() => request('nope', 1)),
      refusal(() => reply(1)),
    ];
    return Message.json(seen);
  }).handle('input', {});
  assert.deepEqual(handled.json('output')[0], [
    ['invalid', 'output `nope` does not exist; must be one of: output, rest, answer, extra'],
    ['invalid', "the property `weir-id` is reserved for the host"],
    ['invalid', 'the body of the message has 4194305 bytes; the limit is 4194304'],
    ['invalid', `the property name \`${'n'.repeat(32)}...\` has 129 bytes; the limit is 128`],
    ['invalid', 'request `nope` does not exist; must be one of: model'],
    ['invalid', 'the current message is not a request: only an input with `reply` in the descriptor can be answered'],
  ]);
});

test('a refused call that nobody catches is a reject with the line', async () => {
  const { failure } = await made(() => send('nope', 1)).handle('input', {});
  assert.equal(failure.verdict, 'reject');
  assert.match(failure.reason, /^output `nope` does not exist; must be one of: output, rest, answer, extra \(.*calling\.test\.js:\d+\)$/);
});

test('limits on what one call sends are kept', async () => {
  const many = (count) => made(() => Array.from({ length: count }, (_, i) => i));
  assert.equal((await many(1000).handle('input', {})).json('output').length, 1000);
  assert.match((await many(1001).handle('input', {})).failure.reason, /^one call may send 1000 messages \(raise it: weir deploy --limit sends-count=N\)/);
  assert.match((await many(2).limit('sends-count', 1).handle('input', {})).failure.reason, /one call may send 1 messages/);
  assert.match((await made(() => ['long text']).limit('sends-bytes', 5).handle('input', {})).failure.reason, /one call may send 5 bytes in total/);
});

test('a return value answers a request', async () => {
  const one = await made((question) => question.length).handle('ask', 'four');
  assert.deepEqual([one.replyJson(), one.isAnswered, one.sent], [[4], true, []]);
  const parts = await made(function* (question) { yield* question; }).handle('ask', 'abc');
  assert.deepEqual([parts.replyJson(), parts.isAnswered], [['a', 'b', 'c'], true]);
  const none = await made(() => {}).handle('ask', 'x');
  assert.deepEqual([none.replies(), none.isAnswered], [[], false]);
});

test('a part leaves when the next one is there', async () => {
  const handled = await made(function* () {
    yield 1;
    yield 2;
    throw new Error('broken off');
  }).handle('ask', 'x');
  assert.deepEqual([handled.replyJson(), handled.isAnswered, handled.failure.verdict], [[1], false, 'retry']);
});

test('a request is answered step by step', async () => {
  const handled = await made(() => {
    replyPart(1);
    reply(2);
    return 3;
  }).handle('ask', 'x');
  assert.deepEqual([handled.replyJson(), handled.isAnswered], [[1, 2], true]);
  assert.match(handled.failure.reason, /^the request was answered completely: nothing may follow the part marked `last`/);
});

test('services are asked, one after the other or side by side', async () => {
  const handled = await made((doc) => {
    const [first, second] = [beginRequest('model', doc), beginRequest('model', 'b')];
    return { later: second.read(), sooner: first.read(), whole: request('model', 'c', { timeout: 5, as: 'text' }) };
  }).answer('model', (question) => ({ to: question.json() })).handle('input', 'a');
  assert.deepEqual(handled.json('output'), [{ later: { to: 'b' }, sooner: { to: 'a' }, whole: '{"to":"c"}' }]);
  assert.deepEqual(handled.requests.map(({ to, message }) => [to, message.json()]), [['model', 'a'], ['model', 'b'], ['model', 'c']]);
});

test('answers come in parts', async () => {
  const handled = await made(() => {
    const parts = beginRequest('model', 1);
    return Message.json([[...parts], parts.next().done, requestParts('model', 2)]);
  }).answer('model', Answer.parts([1, 2])).handle('input', {});
  assert.deepEqual(handled.json('output'), [[[1, 2], true, [1, 2]]]);
  const { failure } = await made(() => request('model', 1)).answer('model', Answer.parts([1, 2])).handle('input', {});
  assert.deepEqual([failure.verdict, failure.reason], ['retry', '`model` answered in 2 parts instead of one: use `requestParts`']);
});

test('answers are used in turn, and an error can be handled', async () => {
  const asking = made(() => {
    try {
      return request('model', 1);
    } catch (error) {
      assert.ok(error instanceof CallError);
      return { [error.kind]: error.reason };
    }
  }).answer('model', Answer.error('timeout', 'no reply in 60 s'), Answer.parts([1]).thenError('failed', 'unloaded'), 'well');
  const outputs = [];
  for (let count = 0; count < 4; count += 1) outputs.push(...(await asking.handle('input', {})).json('output'));
  assert.deepEqual(outputs, [{ timeout: 'no reply in 60 s' }, { failed: 'unloaded' }, 'well', 'well']);
});

test('an answer that is no JSON is a retry', async () => {
  const { failure } = await made(() => request('model', 1)).answer('model', new Message('well')).handle('input', {});
  assert.equal(failure.verdict, 'retry');
  assert.match(failure.reason, /^the answer of `model` cannot be read: the body is not JSON: expected a value, found `w` at line 1 column 1/);
});

test('an unanswered request is the test\'s mistake, whatever the handler does', async () => {
  await assert.rejects(made(() => {
    try {
      return request('model', 1);
    } catch {
      return 'fine';
    }
  }).handle('input', {}), /the handler sends a request to `model`, but the test has no answer/);
});

test('a processor sees where it runs', async () => {
  const see = made(() => ({ ...Object.fromEntries(Object.keys(context).map((key) => [key, context[key]])) })).flow('mine').timeLeft(5);
  const expected = { processor: 'under-test', flow: 'mine', variant: 'mine', deployment: 'under-test@1.2.3', outputs: ['output', 'rest', 'answer', 'extra'], attempt: 1, remainingMs: 5 };
  const [{ messageId: first, ...seen }] = (await see.handle('input', {})).json('output');
  assert.deepEqual(seen, expected);
  const [{ messageId: again, attempt }] = (await see.attempt(2).handle('input', {})).json('output');
  assert.deepEqual([again, attempt], [first, 2]);
  assert.notEqual((await see.attempt(1).handle('input', {})).json('output')[0].messageId, first);
});

test('properties that are the host\'s own are not shown', async () => {
  const message = Message.json({}, { properties: { colour: 'red', traceparent: 'x', 'weir-a': 'x', id: 'x' } });
  const handled = await made((_doc, _parameters, { properties }) => properties).handle('input', message);
  assert.deepEqual(handled.json('output'), [{ colour: 'red' }]);
});
