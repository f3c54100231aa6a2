// Node.js has tables and dictionaries: the same rules by other means.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { graphemeEnds, sentenceEnds, wordEnds } from '../src/segments.js';

const FIXTURES = new URL('../../../../../plugins/splitter/fixtures/', import.meta.url);
const TEXTS = ['wrapped.txt', 'list.md', 'mixed.txt'].map((name) => readFileSync(new URL(name, FIXTURES), 'utf8'));
const MORE = [
  'Dr. Smith paid 3.50 at 5 p.m. on 1 May. “Is that all?” he asked. (No!) e.g. this... and That.\u0085next\u2028line',
  "can't won't 3,5 1.5a a_b a:b it's “quoted” l'été U.S.A. x.y a1b2 --- don’t",
  '👩‍👩‍👧‍👦🇩🇪🇫🇷🇵 e\u0301e\u0308 각ᄀ\u1161 नमते \u0600١ 👍🏽 a\u200db',
  'שלום ד"ר ג\'ון. Привет, мир! Как дела? ¿Qué? ¡Sí! Ещё…  Ok',
];

const bounds = (granularity, text) => [...new Intl.Segmenter('en', { granularity }).segment(text)].map(({ index, segment }) => index + segment.length);
/** Dictionaries find words in these scripts. */
const withoutDictionaries = (text) => text.replace(/[\p{Script=Hangul}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]+/gu, 'x');

test('sentences, words and graphemes end where Unicode says', () => {
  for (const text of [...TEXTS, ...MORE]) {
    assert.deepEqual([...sentenceEnds(text)], bounds('sentence', text), text);
    assert.deepEqual([...graphemeEnds(text)], bounds('grapheme', text), text);
    const spaced = withoutDictionaries(text);
    assert.deepEqual([...wordEnds(spaced)], bounds('word', spaced), spaced);
  }
});

test('texts without any sense are segmented alike', () => {
  const letters = [...'aA1.,:;\'"!? \n\r\u0085é’“”()-_…。\u0301\u200d👩🇩काאß'];
  let seed = 7;
  const random = (most) => {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    return seed % most;
  };
  for (let round = 0; round < 3000; round += 1) {
    const text = Array.from({ length: 12 }, () => letters[random(letters.length)]).join('');
    assert.deepEqual([...sentenceEnds(text)], bounds('sentence', text), JSON.stringify(text));
    assert.deepEqual([...graphemeEnds(text)], bounds('grapheme', text), JSON.stringify(text));
    assert.deepEqual([...wordEnds(text)], bounds('word', text), JSON.stringify(text));
  }
});
