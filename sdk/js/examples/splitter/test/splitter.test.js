import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { kit } from 'weir-sdk/testing';

import { handler } from '../src/processor.js';
import { checkSettings, pieces } from '../src/split.js';

const FIXTURES = new URL('../../../../../plugins/splitter/fixtures/', import.meta.url);
const [LICENCE, LIST, MIXED] = ['wrapped.txt', 'list.md', 'mixed.txt'].map((name) => readFileSync(new URL(name, FIXTURES), 'utf8'));

function split(text, size, overlap, border) {
  return pieces(text, checkSettings({ size, overlap, border })).map((piece) => piece.text);
}

test('no character is lost, no piece is too large, and starts are true', () => {
  for (const text of [LICENCE, LIST, MIXED]) {
    const characters = [...text];
    for (const border of ['sentence', 'paragraph']) {
      for (const [size, overlap] of [[16, 0], [16, 8], [40, 10], [100, 50], [1000, 100]]) {
        let covered = 0;
        for (const piece of pieces(text, { size, overlap, border })) {
          const length = [...piece.text].length;
          assert.ok(length <= size, `${size} ${overlap} ${border}: ${piece.text}`);
          assert.equal(characters.slice(piece.start, piece.start + length).join(''), piece.text);
          assert.equal(characters.slice(covered, Math.max(covered, piece.start)).join('').trim(), '');
          covered = Math.max(covered, piece.start + length);
        }
        assert.equal(characters.slice(covered).join('').trim(), '');
      }
    }
  }
});

test('the cuts are those of the plugin', () => {
  const wrapped = 'One sentence that\nis wrapped. Another one\nthat is wrapped, too. A third.';
  assert.deepEqual(split(wrapped, 50, 0, 'paragraph'), ['One sentence that\nis wrapped.', 'Another one\nthat is wrapped, too. A third.']);
  const paragraphs = 'First one. Second one.\n\nThird one is in another paragraph. Fourth one.';
  assert.deepEqual(split(paragraphs, 60, 0, 'paragraph'), ['First one. Second one.', 'Third one is in another paragraph. Fourth one.']);
  assert.deepEqual(split(paragraphs, 60, 0, 'sentence'), ['First one. Second one.\n\nThird one is in another paragraph.', 'Fourth one.']);
  assert.deepEqual(split('A heading\n\nThe text below it.', 20, 0, 'sentence'), ['A heading', 'The text below it.']);
  assert.deepEqual(split('- first of all\n- second of all\n- third of all', 29, 0, 'sentence'), ['- first of all', '- second of all', '- third of all']);
  const greek = 'Alpha is here. Beta is here. Gamma is here. Delta is here.';
  assert.deepEqual(split(greek, 30, 15, 'sentence'), ['Alpha is here. Beta is here.', 'Beta is here. Gamma is here.', 'Gamma is here. Delta is here.']);
  for (const text of ['', '  \n\n\t']) assert.deepEqual(split(text, 100, 10, 'paragraph'), ['']);
});

test('parameters out of bounds are named', () => {
  const check = (size, overlap, words) => assert.throws(() => checkSettings({ size, overlap, border: 'sentence' }), words);
  check(0, 0, /`size` is 0/);
  check(100, 51, /`overlap` is 51/);
  assert.throws(() => split('word. '.repeat(70_000), 16, 0, 'sentence'), /makes more than 20000 chunks/);
});

test('the chunks are byte for byte those of the plugin', async () => {
  for (const name of ['paragraph.json', 'sentence.json']) {
    const { parameters, messages } = JSON.parse(readFileSync(new URL(`../tests/${name}`, import.meta.url), 'utf8'));
    const splitter = kit(handler);
    for (const [parameter, value] of Object.entries(parameters)) splitter.parameter(parameter, value);
    for (const { message, expected } of messages) {
      const handled = await splitter.handle('input', message.json);
      // Each language says in its own words what is wrong with a document.
      assert.deepEqual(handled.failure && { verdict: handled.failure.verdict }, expected.failure);
      if (expected.failure) continue;
      const wanted = expected.outputs.output.map(({ json }) => JSON.stringify(json));
      assert.deepEqual(handled.outputs('output').map((chunk) => chunk.text()), wanted);
    }
  }
});
