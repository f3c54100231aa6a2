// The fixtures hold in the test kit too; `weir test` runs them in the real host.

import { readdirSync } from 'node:fs';
import { test } from 'node:test';

import { kit, runFixture } from 'weir-sdk/testing';

import { handler } from '../src/processor.js';

const FOLDER = new URL('../tests/', import.meta.url);

for (const file of readdirSync(FOLDER)) {
  test(`fixture ${file}`, () => runFixture(kit(handler), new URL(file, FOLDER)));
}
