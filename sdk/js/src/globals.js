// What a component has in place of some of the engine's globals: installed before the author's modules run.

import { logConsole } from './console.js';
import { atWork } from './host.js';

const POOL_COUNT = 256;

export function installGlobals() {
  logConsole(globalThis.console);
  seedRandom();
  measureTime();
  refuseNetwork();
}

/** The engine would begin with the same number in every instance if `Math.random` was called while the component was built. */
function seedRandom() {
  const atBuild = Math.random;
  const pool = new Uint32Array(POOL_COUNT);
  let left = 0;
  Math.random = () => {
    if (!atWork()) return atBuild();
    if (left === 0) {
      crypto.getRandomValues(pool);
      left = POOL_COUNT;
    }
    left -= 2;
    return ((pool[left] >>> 5) * 2 ** 26 + (pool[left + 1] >>> 6)) / 2 ** 53;
  };
}

/** The engine's own `performance.now` ends the build, since it counts from the first call of a component. */
function measureTime() {
  let origin;
  const now = () => {
    if (!atWork()) return 0;
    origin ??= Date.now();
    return Date.now() - origin;
  };
  Object.defineProperty(globalThis.performance, 'now', { value: now, writable: true, configurable: true });
}

/** Libraries would fail with whatever the engine makes of a missing network. */
function refuseNetwork() {
  for (const name of ['fetch', 'XMLHttpRequest', 'WebSocket', 'EventSource']) {
    const refusal = function refused() {
      throw new TypeError(`\`${name}\` is not available: a processor has no access to the network; use \`request\` to call a service`);
    };
    Object.defineProperty(globalThis, name, { value: refusal, writable: true, configurable: true });
  }
}
