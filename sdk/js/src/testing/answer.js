// The answers of services in a test.

import { lowered } from '../message.js';
import { asReceived } from './fake_host.js';

const KINDS = ['timeout', 'unavailable', 'failed', 'invalid'];

export class Answer {
  constructor(parts, error) {
    this.parts = parts;
    this.error = error;
  }

  static parts(values) {
    return new Answer([...values].map((value) => asReceived(lowered(value))), undefined);
  }

  static error(kind, reason = kind) {
    return new Answer([], checked(kind, reason));
  }

  thenError(kind, reason = kind) {
    return new Answer(this.parts, checked(kind, reason));
  }

  /** What a service returned, or the answer that a test gave for good. */
  static of(value) {
    if (value instanceof Answer) return new Answer([...value.parts], value.error);
    if (typeof value?.then === 'function') throw new TypeError('the answer in the test is a promise: answers must be values');
    return Answer.parts([value]);
  }
}

function checked(kind, reason) {
  if (!KINDS.includes(kind)) throw new TypeError(`error \`${kind}\` does not exist; must be one of: ${KINDS.join(', ')}`);
  return { kind, reason };
}
