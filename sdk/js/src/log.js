// The log. Lines carry processor, flow, component and message by themselves.

import { atWork } from './host.js';
import { shown } from './inspect.js';

function write(level, message, fields = {}) {
  // At the top level of a module, and in tests of functions on their own, no host keeps a line.
  const log = atWork()?.host.log;
  if (!log?.enabled(level)) return;
  log.write(level, shown(message), Object.entries(fields).map(([name, value]) => [name, shown(value)]));
}

export const log = Object.freeze({
  trace: (message, fields) => write('trace', message, fields),
  debug: (message, fields) => write('debug', message, fields),
  info: (message, fields) => write('info', message, fields),
  warn: (message, fields) => write('warn', message, fields),
  error: (message, fields) => write('error', message, fields),
  enabled: (level) => atWork()?.host.log.enabled(level) ?? false,
});
