// Why a message could not be handled.

/** The most that the contract can say. */
const MAX_MS = 0xffff_ffff;

/** A time in milliseconds as the contract counts it: whole, and cut to what it can say. */
export function wholeMs(ms, what) {
  if (ms === undefined || ms === null) return undefined;
  if (typeof ms !== 'number' || Number.isNaN(ms) || ms < 0) {
    throw new TypeError(`\`${what}\` must be a number of milliseconds, not ${typeof ms === 'number' ? ms : typeof ms}`);
  }
  return Math.min(Math.ceil(ms), MAX_MS);
}

export class Failure extends Error {
  constructor(verdict, reason, delay) {
    super(String(reason));
    this.name = 'Failure';
    this.verdict = verdict;
    this.delay = wholeMs(delay, 'delay');
  }

  get reason() {
    return this.message;
  }
}

export class Retry extends Failure {
  constructor(reason, { delay } = {}) {
    super('retry', reason, delay);
    this.name = 'Retry';
  }
}

export class Busy extends Failure {
  constructor(reason, { delay } = {}) {
    super('busy', reason, delay);
    this.name = 'Busy';
  }
}

export class Reject extends Failure {
  constructor(reason) {
    super('reject', reason);
    this.name = 'Reject';
  }
}

export class CallError extends Error {
  constructor(kind, reason) {
    super(reason);
    this.name = 'CallError';
    this.kind = kind;
  }

  get reason() {
    return this.message;
  }
}

/** Calls a function of the host, and throws what it refuses as a `CallError`. */
export function called(call) {
  try {
    return call();
  } catch (error) {
    const refusal = error?.payload;
    if (refusal?.kind) throw new CallError(refusal.kind, refusal.reason);
    throw error;
  }
}
