import assert from 'node:assert/strict';
import { test } from 'node:test';

import { config, log, processor, Reject, send } from '../src/index.js';
import { kit } from '../src/testing/index.js';
import { DESCRIPTOR } from './descriptor.js';

const made = (handler, options) => kit(processor(handler, options), { descriptor: DESCRIPTOR });

test('configuration is parsed once for each version of its type', async () => {
  let count = 0;
  const upper = (value, key) => {
    count += 1;
    return `${key}:${value.toUpperCase()}`;
  };
  const k = made(() => [config.parsed('rule', 'a', upper) ?? 'none', Object.values(config.parsedAll('rule', upper)).join()]);
  const handled = async () => (await k.handle('input', {})).json('output');
  assert.deepEqual(await handled(), ['none', '']);
  k.config('rule', 'a', '"x"').config('rule', 'b', '"y"');
  for (let i = 0; i < 3; i += 1) assert.deepEqual(await handled(), ['a:X', 'a:X,b:Y']);
  assert.equal(count, 3);
  k.config('price', 'p', '5');
  await handled();
  assert.equal(count, 3);
  k.removeConfig('rule', 'a');
  assert.deepEqual(await handled(), ['none', 'b:Y']);
});

test('a value that cannot be read is a retry that names it', async () => {
  const reason = async (value, make) => {
    const { failure } = await made(() => config.parsed('rule', 'a', make)).config('rule', 'a', value).handle('input', {});
    assert.equal(failure.verdict, 'retry');
    return failure.reason;
  };
  assert.equal(await reason('{"x": }'), 'the value of config type `rule`, key `a` is not JSON, field `x`: expected a value, found `}` at line 1 column 7: correct the value in the configuration');
  const make = () => {
    throw new Error('field `tag` is missing');
  };
  assert.equal(await reason('{}', make), 'the value of config type `rule`, key `a`: field `tag` is missing: correct the value in the configuration');
});

test('raw configuration', async () => {
  const handled = await made(() => ({ keys: config.keys('rule'), raw: config.get('rule', 'b'), none: config.get('rule', 'x') ?? null, version: String(config.version('price')) }))
    .config('rule', 'b', 'not JSON').config('rule', 'a', { x: 1 }).handle('input', {});
  assert.deepEqual(handled.json('output'), [{ keys: ['a', 'b'], raw: 'not JSON', none: null, version: '0' }]);
});

test('a config type that is not declared ends the call, whatever the handler does', async () => {
  const trapped = made(() => {
    try {
      return config.get('secrets', 'a');
    } catch {
      return 'fine';
    }
  });
  const words = /config type `secrets` is not declared: add it to `config-types` of the descriptor \(declared: rule, price\)/;
  await assert.rejects(trapped.handle('input', {}), words);
  await assert.rejects(trapped.handle('input', {}), /a host would not use it again/);
  assert.throws(() => made(() => {}).config('secrets', 'a', 1), words);
});

test('setup is told what has changed', async () => {
  const calls = [];
  const k = made(() => {}, { setup: (changed, { size }) => void calls.push([changed, size]) });
  await k.handle('input', {});
  await k.handle('input', {});
  k.config('price', 'a', '1');
  await k.handle('input', {});
  k.config('price', 'a', '1');
  await k.handle('input', {});
  assert.deepEqual(calls, [[['rule', 'price'], 3], [['price'], 3]]);
});

test('what setup refuses keeps a new instance from starting, and an old one with what it had', async () => {
  const setup = async () => {
    const limit = config.parsed('price', 'limit') ?? 0;
    if (limit > 5) throw new Reject(`limit is ${limit}`);
  };
  await assert.rejects(made(() => {}, { setup }).config('price', 'limit', 6).handle('input', {}), /the processor failed to start: limit is 6/);
  const k = made(() => config.parsed('price', 'limit'), { setup }).config('price', 'limit', 4);
  assert.deepEqual((await k.handle('input', {})).json('output'), [4]);
  const handled = await k.config('price', 'limit', 6).handle('input', {});
  assert.deepEqual(handled.json('output'), [4]);
  assert.deepEqual(handled.log, [{ level: 'warn', message: 'component setup failed', fields: { error: 'limit is 6' } }]);
  await assert.rejects(made(() => {}, { setup: () => send('output', 1) }).configure(), /messages can be sent only within `handle`/);
});

test('an exception in setup has its stack', async () => {
  await assert.rejects(made(() => {}, { setup: () => null.x }).configure(), /^Error: TypeError: .*\n {4}at .*configuration\.test\.js:\d+/);
});

test('lines are logged with fields, and by console with the fitting level', async () => {
  const handled = await made((doc) => {
    log.info('seen', { words: 2, doc });
    console.log('%s has %d words:', 'it', 2, [1, 'a'], new Map([['k', { deep: true }]]));
    console.warn('odd');
    console.error(new TypeError('bad'));
    console.debug(undefined, null, -0, 5n);
    console.assert(1 === 2, 'no');
  }).handle('input', { text: 'to be' });
  const [first, second, third, fourth, fifth, sixth] = handled.log;
  assert.deepEqual(first, { level: 'info', message: 'seen', fields: { words: '2', doc: '{text: "to be"}' } });
  assert.deepEqual([second.level, second.message], ['info', 'it has 2 words: [1, "a"] Map {"k" => {deep: true}}']);
  assert.deepEqual([third.level, third.message], ['warn', 'odd']);
  assert.equal(fourth.level, 'error');
  assert.match(fourth.message, /^TypeError: bad\n {4}at /);
  assert.deepEqual([fifth.level, fifth.message], ['debug', 'undefined null -0 5n']);
  assert.deepEqual([sixth.level, sixth.message], ['error', 'assertion failed no']);
});
