// What component.test.js does in the engine and in Node.

import { Busy, config, context, log, Message, processor, Reject, request, send } from 'weir-sdk';

function deep(doc) {
  return doc.missing.field;
}

function again() {
  return again() + 1;
}

const TASKS = {
  echo: (doc) => doc,
  nothing: () => undefined,
  several: () => [1, null, 'two'],
  *generated() {
    yield 1;
    yield { two: 2 };
  },
  async awaited() {
    await null;
    await new Promise((done) => setTimeout(done, 5));
    return 'waited';
  },
  properties: (_doc, _parameters, message) => message.withProperties({ seen: message.input }),
  bytes: () => new Message(Uint8Array.of(65, 66), { contentType: 'application/x-two' }),
  context: () => ({ ...Object.fromEntries(Object.keys(context).map((key) => [key, context[key]])) }),
  parameters: (_doc, { size, leastScore }) => ({ size, leastScore }),
  config: () => [config.parsed('rule', 'a'), config.parsed('rule', 'b') ?? 'none', config.keys('rule').join()],
  logged() {
    log.warn('odd', { size: 3 });
    console.log('%s:', 'it', { a: [1, 'x'] });
    console.error('bad');
  },
  reject: () => {
    throw new Reject('never');
  },
  busy: () => {
    throw new Busy('full', { delay: 5 });
  },
  string: () => {
    throw 'oops';
  },
  nope: () => send('nope', 1),
  request: (doc) => request('model', doc),
  circular: () => {
    const circular = {};
    circular.self = circular;
    return circular;
  },
  map: () => new Map(),
  one: () => ({ answer: 1 }),
  parts: () => [1, 2, 3],
  throw: deep,
  cause: () => {
    throw new Error('outer', { cause: new TypeError('inner') });
  },
  recursion: again,
  never: () => new Promise(() => {}),
  fetch: () => fetch('http://localhost'),
  random: () => Math.random(),
};

export const handler = processor((doc, parameters, message) => TASKS[doc.do](doc, parameters, message));
