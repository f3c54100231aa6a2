// The fixtures hold in the test kit too; `weir test` runs them in the real host.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';

import { Message } from 'weir-sdk';
import { kit } from 'weir-sdk/testing';

import { handler } from '../src/processor.js';

const FOLDER = new URL('../tests/', import.meta.url);

for (const file of readdirSync(FOLDER)) {
  test(`fixture ${file}`, async () => {
    const { parameters = {}, config = {}, messages } = JSON.parse(readFileSync(new URL(file, FOLDER), 'utf8'));
    const made = kit(handler);
    for (const [name, value] of Object.entries(parameters)) made.parameter(name, value);
    for (const [type, values] of Object.entries(config)) for (const [key, value] of Object.entries(values as object)) made.config(type, key, value);
    for (const { input, message, expected } of messages) {
      const handled = await made.handle(input, Message.json(message.json, { properties: message.properties }));
      assert.deepEqual(handled.failure && { verdict: handled.failure.verdict, reason: handled.failure.reason }, expected.failure);
      if (handled.failure) continue;
      const outputs = (expected.outputs?.output ?? []).map((one: { json: unknown }) => one.json);
      assert.deepEqual(handled.json('output'), outputs);
    }
  });
}
