// The border between a component and the SDK: what the entry that the build makes calls.

import { installGlobals } from './globals.js';
import { connect } from './host.js';
import { Processor } from './processor.js';
import { kindOf } from './message.js';
import { setLines } from './stack.js';
import { countTimers, settled } from './timers.js';

export { setLines };

installGlobals();
countTimers();

/**
 * Makes the exports of a component of an author's module. `host` are the interfaces of the contract, `declared` what the descriptor
 * declares, `source` the author's file, `canSetUp` whether the world of the component has the export `setup`.
 */
export function component(host, author, { declared, source, canSetUp }) {
  const made = author.handler ?? author.default;
  if (!(made instanceof Processor)) throw new TypeError(`${source} ${missing(author)}: write \`export const handler = processor((doc) => { ... })\``);
  made.check(declared);
  if (made.hasSetup && !canSetUp) throw new TypeError('`setup` requires the world `configurable-processor`, but the component is built for another one');
  // There is no host while the component is built, nor for code that runs after a handler has returned.
  let isAtWork = false;
  // Memory that has run out once is in pieces: the next call ends the instance with an unwrapped exception, and a new instance replaces it.
  let isUsedUp = false;
  const giveUp = () => {
    isUsedUp = true;
  };
  const instance = { host, declared, kept: new Map(), settled, giveUp };
  connect(() => (isAtWork ? instance : undefined));
  const working = (work) => async (...args) => {
    if (isUsedUp) throw new Error('the instance ran out of memory while handling the previous message: a new one replaces it');
    isAtWork = true;
    try {
      await work(...args);
    } finally {
      isAtWork = false;
    }
  };
  return {
    handler: { handle: working((input, message) => made.handle(input, message)) },
    setup: { configure: working((changed) => made.configure(changed)) },
  };
}

function missing(author) {
  const exported = Object.keys(author).join(', ');
  if (author.handler === undefined && author.default === undefined) return `exports no \`handler\` (it exports: ${exported || 'nothing'})`;
  const found = author.handler ?? author.default;
  return `exports ${typeof found === 'function' ? 'a function' : kindOf(found)} as \`handler\`, which was not made by \`processor\``;
}
