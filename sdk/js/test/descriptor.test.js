import assert from 'node:assert/strict';
import { mkdtempSync, mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';

import { findProject, ofManifest } from '../project/descriptor.js';
import { parseToml } from '../project/toml.js';
import { Descriptor } from '../src/testing/descriptor.js';

test('weir.toml is read', () => {
  const manifest = parseToml(`# a processor
language = "ts"
name = "word-counter"   # its name
version = '0.1.0'
description = """
Counts \\
  words"""
concurrency = 1_000
consumers = ["input", { name = "ask", reply = "answer" }]
producers = [
  "output", # several lines
  "answer",
]

[[parameters]]
name = "shortest"
type = "integer"
default = 1

[[parameters]]
name = "rules"
type = "json"
default = { a = [1, 2.5], "b c".d = true }
enum = []

[limits]
memory = "192 MiB"
time = "1.5 s"
`);
  assert.deepEqual(ofManifest(manifest), {
    schema: 1,
    name: 'word-counter',
    version: '0.1.0',
    description: 'Counts words',
    concurrency: 1000,
    consumers: ['input', { name: 'ask', reply: 'answer' }],
    producers: ['output', 'answer'],
    parameters: [
      { name: 'shortest', type: 'integer', default: '1' },
      { name: 'rules', type: 'json', default: '{"a":[1,2.5],"b c":{"d":true}}', enum: [] },
    ],
    limits: { 'memory-bytes': 192 << 20, 'time-ms': 1500 },
  });
});

test('faults of a weir.toml have their line', () => {
  const check = (text, pattern) => assert.throws(() => parseToml(text), pattern);
  check('a = 1\na = 2', /line 2: key `a` is there twice/);
  check('a = ', /line 1: expected a value, found the end of the line/);
  check('a = yes', /line 1: expected a value, found `yes`; a string is written in quotes/);
  check('\n\nname = "x', /line 3: the string has no end/);
  check('a = [1, 2', /expected `,` or `\]`/);
  check('[a]\n[a]', /line 2: table `a` is there twice/);
  check('a = 1 b = 2', /expected the end of the line, found `b = 2`/);
  check('= 1', /expected a key/);
  assert.throws(() => ofManifest({ limits: { memory: '192' } }), /field `limits.memory` is "192"; write a number and a unit/);
});

test('the nearest descriptor is found', () => {
  const folder = mkdtempSync(join(tmpdir(), 'weir-sdk-'));
  mkdirSync(join(folder, 'test/deep'), { recursive: true });
  writeFileSync(join(folder, 'descriptor.json'), '{"schema": 1, "name": "a"}');
  assert.deepEqual(findProject(join(folder, 'test/deep')), { folder, descriptor: { schema: 1, name: 'a' } });
  writeFileSync(join(folder, 'weir.toml'), 'name = b');
  assert.throws(() => findProject(folder), /weir\.toml: line 1: expected a value/);
});

test('faults of a descriptor name the field, in the words of a host', () => {
  const check = (descriptor, words) => assert.throws(() => new Descriptor(descriptor), (error) => error.message.includes(words) || assert.fail(`${error.message} has no ${words}`));
  check({}, 'field `schema`');
  check({ schema: 2 }, 'is 2; this Weir supports 1');
  check({ schema: 1, config_types: [] }, 'unknown key `config_types`');
  check({ schema: 1, consumers: ['a', 'a'] }, 'field `consumers` of the descriptor: names `a` twice');
  check({ schema: 1, producers: [''] }, 'field `producers` of the descriptor: contains an empty name or one with control characters');
  check({ schema: 1, consumers: ['a'], producers: ['a'] }, 'field `consumers.a` of the descriptor: is also among the producers: a topic must be one or the other');
  check({ schema: 1, consumers: [{ name: 'a', reply: 'b' }] }, 'field `consumers.a.reply` of the descriptor: `b` is not among the producers');
  check({ schema: 1, consumers: [{ name: 'a', concurrency: 0 }] }, 'field `consumers.a.concurrency` of the descriptor: is 0; it must be a whole number from 1 to 1000');
  check({ schema: 1, consumers: Array(65).fill('a') }, 'field `consumers` of the descriptor: has 65 elements; at most 64 are allowed');
  check({ schema: 1, producers: [{ name: 'a', description: 'x'.repeat(8193) }] }, 'field `producers.a.description` of the descriptor: has 8193 bytes; at most 8192 are allowed');
  check({ schema: 1, parameters: [{ name: 'a', type: 'number', default: 'x' }] }, 'field `parameters.a.default` of the descriptor: `x` is not a number');
  check({ schema: 1, parameters: [{ name: 'a', enum: ['b'], default: 'x' }] }, '`x` is not one of b');
  check({ schema: 1, parameters: [{ name: 'a', defualt: 'x' }] }, 'unknown key `defualt`');
});
