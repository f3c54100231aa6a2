// Where to cut: pure, and the same for the same text as the plugin `splitter`, whose rules these are.
//
// A copy of the text is cut in which line breaks stand only where they separate something; the pieces are then taken from the original.

import { graphemeEnds, sentenceEnds, wordEnds } from './segments.js';

/** Pieces of one text, at most: more would only mean that the size is a mistake. */
const MAX_PIECES = 20_000;
const [MIN_SIZE, MAX_SIZE] = [16, 1_000_000];

/** Stands for two line breaks that end a sentence, but are no better than the end of a sentence. */
const NEXT_LINE = '\u0085';
const SPACE = /[\t-\r \u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

/** How to split; what is out of bounds is thrown, and names the parameter. */
export function checkSettings({ size, overlap, border }) {
  if (size < MIN_SIZE || size > MAX_SIZE) throw new RangeError(`parameter \`size\` is ${size}; it must be ${MIN_SIZE} to ${MAX_SIZE} characters`);
  if (overlap < 0 || overlap > Math.floor(size / 2)) throw new RangeError(`parameter \`overlap\` is ${overlap}; it must be at most half of \`size\`, which is ${size}`);
  return { size, overlap, border };
}

/** The pieces of a text, `{ start, text }`, `start` counted in characters. A text without text is one empty piece. */
export function pieces(text, settings) {
  const { shown, origin } = withBorders(text, settings.border);
  const found = [];
  for (let at = 0; at < shown.length; ) {
    const window = shown.slice(at, afterCharacters(shown, at, 8 * settings.size));
    const { cut, next } = cutWindow(window, at + window.length === shown.length, settings);
    for (const { start, end } of cut) found.push([origin(at + start), origin(at + end)]);
    if (found.length > MAX_PIECES) {
      throw new RangeError(`field \`text\` makes more than ${MAX_PIECES} chunks: set parameter \`size\` higher, or split the document before`);
    }
    at += next;
  }
  if (found.length === 0) found.push([0, 0]);
  return counted(text, found);
}

/** Counts the characters before each piece. */
function counted(text, ranges) {
  let [at, characters] = [0, 0];
  return ranges.map(([start, end]) => {
    characters += start < at ? -countCharacters(text, start, at) : countCharacters(text, at, start);
    at = start;
    return { start: characters, text: text.slice(start, end) };
  });
}

function countCharacters(text, start, end) {
  let count = end - start;
  for (let at = start; at < end - 1; at += 1) if (isPair(text, at)) count -= 1;
  return count;
}

/** Whether a character of two units stands at `at`. */
function isPair(text, at) {
  return (text.charCodeAt(at) & 0xfc00) === 0xd800 && (text.charCodeAt(at + 1) & 0xfc00) === 0xdc00;
}

/** The place after so many characters, or the end. */
function afterCharacters(text, from, count) {
  let at = from;
  for (let left = count; left > 0 && at < text.length; left -= 1) at += isPair(text, at) ? 2 : 1;
  return at;
}

/** The place before so many characters of the end, or the beginning. */
function beforeCharacters(text, count) {
  let at = text.length;
  for (let left = count; left > 0 && at > 0; left -= 1) at -= at > 1 && isPair(text, at - 2) ? 2 : 1;
  return at;
}

/** The text with line breaks where they separate something, and nowhere else, and what finds a place of it in the original. */
function withBorders(text, border) {
  const shortened = []; // places in the copy after which it lacks one more unit
  let lacking = 0;
  const shown = text.replace(/[\n\r][\n\r \t]*/g, (gap, at) => {
    const count = (character) => gap.split(character).length - 1;
    const lines = Math.max(count('\n'), count('\r'));
    const rest = (width) => ' '.repeat(gap.length - width);
    if (lines >= 2 && border === 'paragraph') return `\n\n${rest(2)}`;
    if (lines < 2) return (continues(text, at + gap.length) ? ' ' : '\n') + rest(1);
    shortened.push(at - lacking);
    lacking += 1;
    return NEXT_LINE + rest(2);
  });
  return { shown, origin: (at) => at + lackingBefore(shortened, at) };
}

function lackingBefore(shortened, at) {
  let [low, high] = [0, shortened.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (shortened[middle] < at) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Whether a line looks as if it went on with the sentence of the one before; lists, headings, tables and code do not. */
function continues(text, at) {
  if (at >= text.length) return false;
  const first = String.fromCodePoint(text.codePointAt(at));
  return isAlphanumeric(first) || '"\'(“‘„«'.includes(first);
}

/** A letter or digit is what is a word, and not white space, a mark or a sign. */
function isAlphanumeric(character) {
  if (/[0-9A-Za-z]/.test(character)) return true;
  if (character < '\u0080') return false;
  return /[ª²³µ¹º¼-¾]/.test(character) || character.toLowerCase() !== character.toUpperCase() || isOtherLetter(character.codePointAt(0));
}

/** Blocks of letters without case: near enough for text, without the whole table. */
function isOtherLetter(code) {
  return (code >= 0x05d0 && code <= 0x0669 && code !== 0x060c && code !== 0x061b && code !== 0x061f) || (code >= 0x0671 && code <= 0x10ff) || (code >= 0x1100 && code <= 0x1fff) ||
    (code >= 0x3041 && code <= 0x30fa) || (code >= 0x3105 && code <= 0x9fff) || (code >= 0xa000 && code <= 0xd7ff) || (code >= 0xf900 && code <= 0xfdfb) || (code >= 0x20000 && code <= 0x3ffff);
}

/** The pieces of a window that do not depend on what comes behind it, and where to go on. */
function cutWindow(window, isLast, settings) {
  const cut = [...chunks(window, settings)];
  if (isLast) return { cut, next: window.length };
  // The last character that has twice the size of others behind it.
  const decided = beforeCharacters(window, 2 * settings.size + 1);
  const open = cut.findIndex(({ start }) => start > decided);
  return open < 0 ? { cut, next: window.length } : { cut: cut.slice(0, open), next: cut[open].start };
}

/** The size of a part without the white space around it, in characters. */
function sizeOf(text, start, end) {
  const [from, to] = trimmed(text, start, end);
  let size = 0;
  for (let at = from; at < to; at += isPair(text, at) ? 2 : 1) size += text[at] === NEXT_LINE ? 2 : 1;
  return size;
}

function trimmed(text, start, end) {
  let [from, to] = [start, end];
  while (from < to && SPACE.test(text[from])) from += 1;
  while (to > from && SPACE.test(text[to - 1])) to -= 1;
  return [from, to];
}

/** Cuts a text: each chunk is made of the largest units of which the first one fits, and of as many of them as fit. */
function* chunks(text, { size, overlap }) {
  let [cursor, lastEnd] = [0, 0];
  while (cursor < text.length) {
    const sections = sectionsFrom(text, cursor, size);
    const end = furthest(text, cursor, sections, size);
    const [from, to] = trimmed(text, cursor, end);
    cursor = overlap === 0 ? end : overlapFrom(text, cursor, end, sections, overlap);
    if (to > from && to > lastEnd) {
      lastEnd = to;
      yield { start: from, end: to };
    }
  }
}

/** The runs of line breaks in a text: with two or more they separate paragraphs, with one lines. */
function* separators(text, from, level) {
  const pattern = /\n+/g;
  pattern.lastIndex = from;
  for (let found = pattern.exec(text); found; found = pattern.exec(text)) if (found[0].length >= level) yield [found.index, pattern.lastIndex];
}

/** What stands between the separators of a level and above, and these themselves: `[start, end]`. */
function* betweenSeparators(text, from, level) {
  let at = from;
  for (const [start, end] of separators(text, from, level)) {
    if (start > at) yield [at, start];
    yield [start, end];
    at = end;
  }
  if (at < text.length) yield [at, text.length];
}

function* between(ends, text, from) {
  let at = from;
  for (const end of ends(text.slice(from))) {
    yield [at, from + end];
    at = from + end;
  }
}

function* characters(text) {
  for (let at = 0; at < text.length; ) {
    at += isPair(text, at) ? 2 : 1;
    yield at;
  }
}

const FALLBACKS = [characters, graphemeEnds, wordEnds, sentenceEnds];

/** The units that a chunk from `cursor` on is made of, as far as they may be needed. */
function sectionsFrom(text, cursor, size) {
  const levels = new Set();
  for (const [start, end] of separators(text, cursor, 1)) {
    levels.add(Math.min(end - start, 2));
    if (levels.size === 2) break;
  }
  const byLines = [...levels].sort().map((level) => () => betweenSeparators(text, cursor, level));
  const outer = highest(text, cursor, size, byLines);
  if (outer.level) return limited(outer.level(), outer.most, text, cursor, size);
  const inner = highest(text, cursor, size, FALLBACKS.map((ends) => () => between(ends, text, cursor)));
  const most = Math.min(inner.most, outer.most);
  return limited((inner.level ?? (() => between(characters, text, cursor)))(), most, text, cursor, size);
}

/** The highest level of which the first unit fits, and the end of the first unit that does not. */
function highest(text, cursor, size, levels) {
  let candidates = levels.map((level) => ({ level, end: level().next().value?.[1] })).filter(({ end }) => end !== undefined);
  // Higher levels have longer units: one that is not longer stands in for the one below.
  candidates = candidates.filter(({ end }, i) => i + 1 === candidates.length || end < candidates[i + 1].end || isBest(candidates, i));
  let level;
  for (const candidate of candidates) {
    if (sizeOf(text, cursor, candidate.end) > size) return { level, most: candidate.end };
    level = candidate.level;
  }
  return { level, most: Infinity };
}

function isBest(candidates, i) {
  return candidates.slice(i + 1).every(({ end }) => end > candidates[i].end);
}

/** The units up to the first that does not fit any more, and a few behind it, which may be nothing but white space. */
function limited(sections, most, text, cursor, size) {
  const found = [];
  for (const [start, end] of sections) {
    if (start > most) break;
    found.push([start, end]);
    if (end - cursor > size && sizeOf(text, cursor, end) > size) break;
  }
  return found;
}

/** The end of the last unit with which the chunk fits; at least one unit is taken. */
function furthest(text, cursor, sections, size) {
  let end = sections[0][1];
  for (const [, next] of sections) {
    if (next > end && sizeOf(text, cursor, next) > size) break;
    end = Math.max(end, next);
  }
  return end;
}

/** Where the next chunk begins so that it repeats as much of the end of this one as it may. */
function overlapFrom(text, cursor, end, sections, overlap) {
  let start = end;
  let low = 0;
  const found = sections.findIndex((section) => section[1] >= end);
  let high = found < 0 ? sections.length : found;
  while (low <= high) {
    const middle = low + ((high - low) >> 1);
    const [offset] = sections[middle] ?? [end];
    const size = offset < end ? sizeOf(text, offset, end) : 0;
    if (size <= overlap && offset < start && offset > cursor) start = offset;
    if (size < overlap && middle > 0) high = middle - 1;
    else low = middle + 1;
  }
  return start;
}
