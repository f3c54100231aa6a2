// `console`: lines of the log, with the level that fits.

import { atWork } from './host.js';
import { format } from './inspect.js';

const LEVELS = { log: 'info', info: 'info', dir: 'info', table: 'info', debug: 'debug', trace: 'trace', warn: 'warn', error: 'error' };

/** Lets the methods of `target` write to the log of the instance at work; where there is none, or if `echo` is set, `target` prints as before. */
export function logConsole(target, { echo = false } = {}) {
  for (const [method, level] of Object.entries(LEVELS)) {
    const print = target[method]?.bind(target) ?? (() => {});
    target[method] = (...values) => {
      const log = atWork()?.host.log;
      if (log?.enabled(level)) log.write(level, format(values), []);
      if (!log || echo) print(...values);
    };
  }
  const failed = target.error;
  target.assert = (condition, ...values) => {
    if (!condition) failed('assertion failed', ...values);
  };
}
