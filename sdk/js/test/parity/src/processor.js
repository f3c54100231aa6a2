// Calls of every kind, those that a host refuses among them, and failures of every kind.

import { Busy, config, context, log, Message, processor, Reject, reply, replyPart, Retry, send, sendAll } from 'weir-sdk';

import { asked } from './asking.js';
import { refusals, refused } from './refusals.js';

/** The messages of the soak that this instance has handled: a host that replaces it begins again at 1. */
let count = 0;

const TASKS = {
  ...asked,
  refusals: () => ({ refusals: refusals() }),
  context: (_doc, parameters, { input }) => {
    const { processor: name, flow, variant, deployment, outputs, messageId, attempt, remainingMs } = context;
    return { input, parameters, name, flow, variant, deployment, outputs, messageId, attempt, hasTime: remainingMs > 0 };
  },
  config: () => ({
    parsed: config.parsed('rule', 'a', (value) => Object.keys(value)),
    all: config.parsedAll('rule'),
    text: config.get('text', 'greeting'),
    keys: config.keys('rule'),
    none: config.get('rule', 'none') ?? 'nothing',
    hasVersion: config.version('rule') > 0n,
  }),
  undeclared: () => config.get('secret', 'a'),
  log: () => {
    log.warn('odd', { size: 3 });
    log.debug({ a: [1] });
    console.log('%s:', 'it', { a: [1, 'x'] });
    console.error('bad');
  },
  echo: (doc) => doc,
  soak: (doc) => Message.json(doc, { properties: { count: ++count } }),
  text: () => Message.text('grün \u{1f600}'),
  bytes: () => Uint8Array.of(0, 255),
  image: () => new Message(Uint8Array.of(65, 255), { contentType: 'image/png', properties: { size: 2, exact: true } }),
  properties: (_doc, _parameters, message) => message.withProperties({ seen: message.input }),
  several: () => [{ a: 'ä' }, 1.5, true, 'text', null, Message.json(null), Message.json([1])],
  *generated() {
    yield 1;
    yield { two: 2 };
  },
  async awaited() {
    await new Promise((done) => setTimeout(done, 1));
    return 'waited';
  },
  nothing: () => undefined,
  sent: () => {
    sendAll('output', [1, 2]);
    send('rare', 'seldom');
    return 3;
  },
  taken: (doc) => {
    send('output', doc);
    throw new Retry('nothing of it leaves');
  },
  many: () => sendAll('output', Array.from({ length: 1001 }, (_, index) => index)),
  megabytes: () => sendAll('output', Array.from({ length: 5 }, () => new Uint8Array(4 << 20))),
  large: () => new Uint8Array((4 << 20) + 1),
  nowhere: () => send('nowhere', 1),
  retry: () => {
    throw new Retry('once more', { delay: 1500 });
  },
  busy: () => {
    throw new Busy('full', { delay: 5 });
  },
  reject: () => {
    throw new Reject('never');
  },
  broken,
  caused,
  string: () => {
    throw 'oops';
  },
  map: () => new Map(),
  bigint: () => 1n,
  first: (doc) => replyPart(doc),
  one: () => ({ answer: 1 }),
  parts: () => [1, 2, 3],
  whole: () => {
    replyPart('a');
    reply('b');
    return undefined;
  },
  twice: () => {
    reply(1);
    return { second: refused(() => reply(2)), third: refused(() => replyPart(3)) }.second === 'taken' ? 'taken' : undefined;
  },
  after: () => {
    replyPart('begun');
    throw new Reject('after a part');
  },
};

function broken() {
  throw new RangeError('broken');
}

function caused() {
  throw new Error('outer', { cause: new RangeError('inner') });
}

function check(_changed, { mood }) {
  if (mood === 'bad') throw new Reject('parameter `mood` is bad');
  const { limit = 1 } = config.parsed('rule', 'limit') ?? {};
  if (limit < 1) throw new RangeError('`limit` is below 1');
}

function handle(doc, parameters, message) {
  return TASKS[doc.do](doc, parameters, message);
}

export const handler = processor(handle, { setup: check });
