// The test kit: a processor in Node's own test runner, without a host. `index.d.ts` documents it.

export { Answer } from './answer.js';
export { runFixture } from './fixtures.js';
export { Handled } from './handled.js';
export { Kit, kit } from './kit.js';
