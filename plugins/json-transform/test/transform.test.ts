import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Message, type Failure } from 'weir-sdk';
import { kit, type Kit } from 'weir-sdk/testing';

import { handler } from '../src/processor.js';

const ORDER = { id: 'a', lines: [{ item: 'bolt', price: 0.5, count: 10 }, { item: 'nut', price: 0.25, count: 4 }] };

function transforming(expression: string, parameters: Record<string, unknown> = {}): Kit {
  const made = kit(handler).parameter('expression', expression);
  for (const [name, value] of Object.entries(parameters)) made.parameter(name, value);
  return made;
}

async function results(expression: string, document: object = ORDER, parameters: Record<string, unknown> = {}): Promise<unknown[]> {
  return (await transforming(expression, parameters).handle('input', document)).json('output');
}

async function failure(expression: string, document: object = ORDER, parameters: Record<string, unknown> = {}): Promise<Failure> {
  const handled = await transforming(expression, parameters).handle('input', document);
  return handled.failure ?? assert.fail('it does not fail');
}

test('a message is transformed', async () => {
  assert.deepEqual(await results('{ "id": id, "total": $sum(lines.(price * count)), "items": lines.item }'), [{ id: 'a', total: 6, items: ['bolt', 'nut'] }]);
  assert.deepEqual(await results('lines[price > 0.3].item'), ['bolt']);
});

test('arrays are one message or one each', async () => {
  assert.deepEqual(await results('lines.item'), [['bolt', 'nut']]);
  assert.deepEqual(await results('lines.item', ORDER, { arrays: 'each' }), ['bolt', 'nut']);
});

test('nothing sends nothing, or is rejected', async () => {
  assert.deepEqual(await results('missing.field'), []);
  assert.equal((await failure('missing.field', ORDER, { nothing: 'reject' })).reason, 'the expression makes nothing of the message');
});

test('properties stay, and are seen', async () => {
  const message = Message.json({ a: 1 }, { properties: { source: 'x' } });
  const handled = await transforming('{ "from": $message.properties.source, "input": $message.input, "attempt": $message.attempt }').handle('input', message);
  assert.deepEqual(handled.json('output'), [{ from: 'x', input: 'input', attempt: 1 }]);
  assert.deepEqual(handled.outputs('output')[0]?.properties, { source: 'x' });
});

test('the expression may be in the configuration, and change', async () => {
  const made = kit(handler).parameter('config-key', 'mine').config('json-transform', 'mine', { expression: 'a' });
  assert.deepEqual((await made.handle('input', { a: 1, b: 2 })).json('output'), [1]);
  made.config('json-transform', 'mine', '"b"');
  assert.deepEqual((await made.handle('input', { a: 1, b: 2 })).json('output'), [2]);
  made.config('json-transform', 'mine', '"b["');
  const handled = await made.handle('input', { a: 1, b: 2 });
  assert.deepEqual(handled.json('output'), [2]);
  assert.match(handled.log[0]?.fields['error'] ?? '', /config type `json-transform`, key `mine` is not JSONata/);
});

test('wrong parameters and expressions keep it from starting', async () => {
  const refused = (made: Kit, words: RegExp) => assert.rejects(made.configure(), words);
  await refused(kit(handler), /neither parameter `expression` nor parameter `config-key` is set/);
  await refused(kit(handler).parameter('config-key', 'x'), /key `x` is missing: put it/);
  await refused(transforming('{ "a": '), /parameter `expression` is not JSONata: .* at character 7/);
  await refused(transforming('a', { 'max-depth': 0 }), /parameter `max-depth` is 0; it must be 1 to 1000/);
});

test('what an expression fails for is rejected', async () => {
  const failed = await failure('lines.(price + item)');
  assert.equal(failed.verdict, 'reject');
  assert.match(failed.reason, /^the expression failed: The right side of the "\+" operator must evaluate to a number at character 14 \(T2002\)$/);
});

test('expressions that run away are cut', async () => {
  const endless = await failure('( $f := function($n) { $f($n + 1) }; $f(0) )', ORDER, { 'max-time-ms': 50 });
  assert.deepEqual([endless.verdict, /Evaluation timeout after 50 milliseconds/.test(endless.reason)], ['retry', true]);
  assert.match((await failure('( $f := function($n) { 1 + $f($n + 1) }; $f(0) )')).reason, /Stack overflow/);
  assert.match((await failure('[1..9999999]')).reason, /at most|sequence|limit/i);
  assert.match((await failure('$pad("", 1000000000)')).reason, /\$pad makes at most 100000 characters, not 1000000000/);
  assert.match((await failure('( $f := function($s, $n) { $n = 0 ? $s : $f($s & $s, $n - 1) }; $f("0123456789abcdef", 17) )')).reason, /the result has 2097154 bytes; the limit is 1048576/);
});

test('texts of messages are never evaluated', async () => {
  assert.match((await failure('$eval(code)', { code: '1 + 1' })).reason, /\$eval is not available/);
});

test('$pad counts characters', async () => {
  assert.deepEqual(await results('[$pad("ü😀", 4, "-+"), $pad("x", -3), $pad("long", 2)]'), [['ü😀-+', '  x', 'long']]);
});
