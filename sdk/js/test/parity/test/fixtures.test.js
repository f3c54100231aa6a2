// The kit says what a host says: the fixtures, which `weir test` runs in a host, are run here in the kit.

import { readdirSync } from 'node:fs';
import { test } from 'node:test';

import { kit, runFixture } from 'weir-sdk/testing';

import { handler } from '../src/processor.js';

const FOLDER = new URL('../tests/', import.meta.url);

for (const file of readdirSync(FOLDER).filter((name) => name.endsWith('.json'))) {
  test(file, () => runFixture(kit(handler), new URL(file, FOLDER)));
}
