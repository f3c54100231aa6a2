// Timers, counted: a promise that nothing can settle any more would end the engine without a word about the handler.

const WAIT_MS = 5;

/** The timers of the engine, kept from being replaced by libraries. */
const real = { setTimeout: globalThis.setTimeout, clearTimeout: globalThis.clearTimeout, setInterval: globalThis.setInterval, clearInterval: globalThis.clearInterval };

const pending = new Set();

/** Counts the timers of the author and of libraries. */
export function countTimers() {
  globalThis.setTimeout = (callback, ms, ...args) => {
    const id = real.setTimeout((...given) => {
      pending.delete(id);
      callback(...given);
    }, ms, ...args);
    pending.add(id);
    return id;
  };
  globalThis.setInterval = (...args) => {
    const id = real.setInterval(...args);
    pending.add(id);
    return id;
  };
  for (const name of ['clearTimeout', 'clearInterval']) {
    globalThis[name] = (id) => {
      pending.delete(id);
      real[name](id);
    };
  }
}

/** The value of a promise; an error once nothing is left that could settle it. */
export function settled(promise) {
  let timer;
  const stuck = new Promise((_, reject) => {
    let idleChecks = 0;
    const check = () => {
      idleChecks = pending.size === 0 ? idleChecks + 1 : 0;
      if (idleChecks > 2) reject(new Error('the promise that the handler returned never settles: no timer is pending, and nothing else could settle it'));
      else timer = real.setTimeout(check, idleChecks ? 0 : WAIT_MS);
    };
    timer = real.setTimeout(check, 0);
  });
  return Promise.race([promise, stuck]).finally(() => real.clearTimeout(timer));
}
