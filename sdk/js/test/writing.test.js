// Long strings are written in pieces: the bytes are those of JSON.stringify.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { writeJson } from '../src/writing.js';

const LONG = 1 << 18;
const decoder = new TextDecoder('utf-8', { fatal: true });
const same = (value) => assert.equal(decoder.decode(writeJson(value)), JSON.stringify(value));

test('a value with long strings is written as JSON.stringify does', () => {
  for (const unit of ['a', 'ä', '\u{1f600}', '"\\\n\u0001', '\ud83d', '字“”']) {
    // Pieces end at every place of a character.
    for (const before of ['', 'x', 'xy', 'xyz']) {
      const text = before + unit.repeat(Math.ceil(LONG / unit.length) + 1);
      same(text);
      same({ id: 'a', text, nothing: undefined, none: null, 'ke"y': [1, text, undefined, () => 1, { deep: text }] });
    }
  }
  const text = 'x'.repeat(LONG);
  same({ made: { toJSON: () => ({ text }) }, at: new Date(0), text, far: [[[[[[text]]]]]] });
  same({ a: undefined, text });
  same([text, Symbol('s')]);
});

test('what cannot be written is refused with a long string beside it, too', () => {
  const circular = { text: 'x'.repeat(LONG) };
  circular.self = circular;
  assert.throws(() => writeJson(circular), TypeError);
  assert.throws(() => writeJson({ text: 'x'.repeat(LONG), big: 1n }), TypeError);
  assert.equal(writeJson(undefined), undefined);
  assert.equal(writeJson(Symbol('s')), undefined);
});
