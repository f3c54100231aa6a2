// A processor: what an author exports as `handler`, and what a host calls.

import { CallError, Failure, wholeMs } from './failure.js';
import { instance } from './host.js';
import { checkAs, kindOf, Message, readAs } from './message.js';
import { settle } from './outcome.js';
import { parameters } from './parameters.js';
import { explain, frames, OUT_OF_MEMORY } from './stack.js';

const SHAPE = 'write `export const handler = processor((doc, parameters, message) => { ... })`';

export function processor(handlers, options = {}) {
  return new Processor(handlers, options);
}

export class Processor {
  #every;
  #byInput;
  #setup;

  constructor(handlers, { as, setup, ...unknown } = {}) {
    const strange = Object.keys(unknown)[0];
    if (strange !== undefined) throw new TypeError(`\`processor\` has no option \`${strange}\`; must be one of: as, setup`);
    if (setup !== undefined && typeof setup !== 'function') throw new TypeError(`\`setup\` must be a function, not ${kindOf(setup)}`);
    this.#setup = setup;
    if (typeof handlers === 'function') {
      this.#every = { handle: handlers, as: checkAs(as) };
    } else if (kindOf(handlers) === 'an object' && Object.keys(handlers).length > 0) {
      this.#byInput = new Map(Object.entries(handlers).map(([input, handler]) => [input, one(input, handler, as)]));
    } else {
      throw new TypeError(`\`processor\` takes a function, or an object with a function for each input, not ${kindOf(handlers)}: ${SHAPE}`);
    }
  }

  /** Whether an author has something to do before the first message. */
  get hasSetup() {
    return this.#setup !== undefined;
  }

  /** Compares the handlers with what the descriptor declares: throws at what contradicts it. */
  check(declared) {
    if (!declared || !this.#byInput) return;
    const [inputs, handled] = [Object.keys(declared.inputs), [...this.#byInput.keys()]];
    const extra = handled.find((input) => !inputs.includes(input));
    if (extra !== undefined) {
      throw new TypeError(`\`${extra}\` has a handler but is not an input: the inputs (consumers) in weir.toml are ${inputs.join(', ') || 'none'}`);
    }
    const missing = inputs.find((input) => !handled.includes(input));
    if (missing !== undefined) throw new TypeError(noHandler(missing, handled));
  }

  /** What the contract's `handler.handle` does: ends well, or throws a `failure` of the contract. */
  async handle(input, received) {
    try {
      const { handle, as } = this.#handler(input);
      const message = Message.received(received, input);
      const result = await finished(handle(readAs(message, as), parameters(), message));
      await finished(settle(result, isRequest(input)));
    } catch (thrown) {
      if (thrown === OUT_OF_MEMORY) instance('handle').giveUp?.();
      throw failure(thrown);
    }
  }

  /** What the contract's `setup.configure` does: ends well, or throws a string. */
  async configure(changed) {
    try {
      const [setup, values] = [this.#setup, parameters()];
      await finished(setup?.(changed, values));
    } catch (thrown) {
      throw thrown instanceof Failure || thrown instanceof CallError ? thrown.reason : explain(thrown);
    }
  }

  #handler(input) {
    const found = this.#every ?? this.#byInput.get(input);
    if (!found) throw new Failure('retry', noHandler(input, [...this.#byInput.keys()]));
    return found;
  }
}

/** The value, or what a promise comes to; a component finds out when a promise never does. */
function finished(value) {
  return typeof value?.then === 'function' ? (instance('handle').settled?.(value) ?? value) : value;
}

function one(input, handler, as) {
  const { handle, as: own, ...unknown } = typeof handler === 'function' ? { handle: handler } : (handler ?? {});
  if (typeof handle !== 'function') {
    throw new TypeError(`the handler of input \`${input}\` must be a function, or { handle, as }, not ${kindOf(handler)}`);
  }
  const strange = Object.keys(unknown)[0];
  if (strange !== undefined) throw new TypeError(`the handler of input \`${input}\` has no option \`${strange}\`; must be one of: handle, as`);
  return { handle, as: checkAs(own ?? as) };
}

function noHandler(input, inputs) {
  const known = inputs.join(', ');
  return `the component has no handler for its input \`${input}\`, only for ${known}: add one to \`processor({ ... })\`, or remove the input from weir.toml`;
}

/** Whether messages of an input are requests, so that what a handler returns is the answer. */
function isRequest(input) {
  return instance('handle').declared?.inputs[input] ?? false;
}

/** A thrown value as the contract's record: anything that is not a `Failure` is a retry with the stack, or, if it can never work, a reject. */
function failure(thrown) {
  if (thrown instanceof Failure) return { verdict: thrown.verdict, reason: thrown.reason, delayMs: wholeMs(thrown.delay, 'delay') };
  if (!(thrown instanceof CallError)) return { verdict: 'retry', reason: explain(thrown), delayMs: undefined };
  const isBug = thrown.kind === 'invalid';
  const place = isBug ? frames(thrown.stack)[0] : undefined;
  return { verdict: isBug ? 'reject' : 'retry', reason: place ? `${thrown.reason} (${place.file}:${place.line})` : thrown.reason, delayMs: undefined };
}
