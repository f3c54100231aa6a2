// What a handler returns, and what becomes of it.

import { kindOf } from './message.js';
import { reply, replyPart, send } from './messaging.js';

/** The output that return values go to. */
const OUTPUT = 'output';

/** Sends what a handler returned: as messages to `output`, or as the answer to a request. Gives back a promise if it takes time. */
export function settle(value, isRequest) {
  if (value === undefined || value === null) return undefined;
  const sink = isRequest ? new Answer() : new Output();
  if (typeof value === 'object') {
    if (typeof value[Symbol.asyncIterator] === 'function') return drain(value, sink);
    if (isSeveral(value)) {
      for (const item of value) take(sink, item);
      sink.end();
      return undefined;
    }
  }
  take(sink, value);
  sink.end();
  return undefined;
}

/** Arrays and generators; not strings, bytes, maps and sets, which are values. */
function isSeveral(value) {
  return Array.isArray(value) || (typeof value.next === 'function' && typeof value[Symbol.iterator] === 'function');
}

async function drain(values, sink) {
  for await (const item of values) take(sink, item);
  sink.end();
}

function take(sink, item) {
  if (item === undefined || item === null) return;
  if (typeof item === 'function' || typeof item === 'symbol' || typeof item === 'bigint') {
    throw new TypeError(`the handler returned ${kindOf(item)}, which is not a message: return a value for JSON, a Message, an array of these, or nothing`);
  }
  sink.take(item);
}

class Output {
  take(item) {
    send(OUTPUT, item);
  }

  end() {}
}

/** A part leaves when the next one is there, so that the last one can be marked. */
class Answer {
  #held;

  take(item) {
    if (this.#held !== undefined) replyPart(this.#held);
    this.#held = item;
  }

  end() {
    if (this.#held !== undefined) reply(this.#held);
  }
}
