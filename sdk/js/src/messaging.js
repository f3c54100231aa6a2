// Sending, answering and asking. Topics are named as in the descriptor.

import { called, Retry, wholeMs } from './failure.js';
import { instance } from './host.js';
import { checkAs, lowered, Message, readAs } from './message.js';

const NO_NAME = 'is missing: it is the name of an output, or of a request, in weir.toml';

function checkName(to, what) {
  if (typeof to !== 'string') throw new TypeError(`the first argument of \`${what}\` ${NO_NAME}`);
}

export function send(to, value) {
  checkName(to, 'send');
  const message = lowered(value);
  called(() => instance('send').host.messaging.send(to, message));
}

export function sendAll(to, values) {
  for (const value of values) send(to, value);
}

export function reply(value) {
  const message = lowered(value);
  called(() => instance('reply').host.messaging.reply(message, 'last'));
}

export function replyPart(value) {
  const message = lowered(value);
  called(() => instance('replyPart').host.messaging.reply(message, 'more'));
}

export function request(to, value, { timeout, as } = {}) {
  const parts = requestParts(to, value, { timeout, as: 'message' });
  if (parts.length !== 1) throw new Retry(`\`${to}\` answered in ${parts.length} parts instead of one: use \`requestParts\``);
  return readPart(to, parts[0], checkAs(as));
}

export function requestParts(to, value, { timeout, as } = {}) {
  checkName(to, 'request');
  const read = checkAs(as);
  const message = lowered(value);
  const timeoutMs = wholeMs(timeout, 'timeout');
  const parts = called(() => instance('request').host.messaging.request(to, message, timeoutMs));
  return parts.map((part) => readPart(to, Message.received(part), read));
}

export function beginRequest(to, value, { timeout, as } = {}) {
  checkName(to, 'beginRequest');
  const read = checkAs(as);
  const message = lowered(value);
  const timeoutMs = wholeMs(timeout, 'timeout');
  const call = called(() => instance('beginRequest').host.messaging.beginRequest(to, message, timeoutMs));
  return new Replies(to, call, read);
}

/** The message in hand is not at fault for an answer that cannot be read. */
function readPart(to, part, as) {
  try {
    return readAs(part, as);
  } catch (error) {
    throw new Retry(`the answer of \`${to}\` cannot be read: ${error.message}`);
  }
}

/** The answer to a request that is under way, part by part: an iterator. */
export class Replies {
  #to;
  #call;
  #as;
  #hasEnded = false;

  constructor(to, call, as) {
    this.#to = to;
    this.#call = call;
    this.#as = as;
  }

  [Symbol.iterator]() {
    return this;
  }

  #next() {
    if (this.#hasEnded) return undefined;
    this.#hasEnded = true;
    const part = called(() => instance('next').host.messaging.nextReply(this.#call));
    this.#hasEnded = part === undefined || part === null;
    return this.#hasEnded ? undefined : Message.received(part);
  }

  next() {
    const part = this.#next();
    return part ? { done: false, value: readPart(this.#to, part, this.#as) } : { done: true, value: undefined };
  }

  read() {
    const part = this.#next();
    if (!part) throw new Retry(`the answer of \`${this.#to}\` has no parts`);
    if (this.#next()) throw new Retry(`\`${this.#to}\` answered in several parts instead of one: read them one by one, with \`for (const part of replies)\``);
    return readPart(this.#to, part, this.#as);
  }
}
