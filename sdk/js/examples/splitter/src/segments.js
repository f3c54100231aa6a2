// Where sentences, words and what readers see as one character end: the default rules of Unicode, UAX #29. Scripts that put no spaces
// between words (Chinese, Japanese, Thai and so on) would need dictionaries: their words are single characters here.

import { GRAPHEME, SENTENCE, WORD } from './tables.js';

const LINE_ENDS = { 10: 'LF', 13: 'CR' };

/** A function from code points to names of classes; `undefined` for any other character. */
function classifier({ names, ranges }) {
  const [starts, ends, classes] = [[], [], []];
  let at = 0;
  for (const range of ranges.split(',')) {
    const [gap, length, name] = range.split(' ').map((number) => Number.parseInt(number, 36));
    starts.push(at + gap);
    at += gap + length;
    ends.push(at);
    classes.push(names[name]);
  }
  const find = (code) => {
    let [low, high] = [0, starts.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (ends[middle] <= code) low = middle + 1;
      else high = middle;
    }
    return low < starts.length && starts[low] <= code ? classes[low] : undefined;
  };
  const ascii = Array.from({ length: 128 }, (_, code) => LINE_ENDS[code] ?? find(code));
  return (code) => (code < 128 ? ascii[code] : find(code));
}

const sentenceClass = classifier(SENTENCE);
const wordClass = classifier(WORD);
const graphemeClass = classifier(GRAPHEME);

const PARAGRAPH_ENDS = new Set(['Sep', 'CR', 'LF']);
const isTerm = (name) => name === 'ATerm' || name === 'STerm';

/** The ends of the sentences of a text, the last one included. */
export function* sentenceEnds(text) {
  let before; // class of the last character that counts
  let beforeTerm; // class of the one before the full stop
  let phase; // after a full stop: 'term', 'close' or 'space'
  let term;
  for (let at = 0; at < text.length; ) {
    const code = text.codePointAt(at);
    const here = sentenceClass(code);
    const isIgnored = (here === 'Extend' || here === 'Format') && at > 0 && !PARAGRAPH_ENDS.has(before);
    if (!isIgnored) {
      const isLineFeed = before === 'CR' && here === 'LF';
      if (at > 0 && !isLineFeed && (PARAGRAPH_ENDS.has(before) || (phase && endsHere(text, at, here, { phase, term, beforeTerm })))) yield at;
      if (isTerm(here)) [beforeTerm, term, phase] = [before, here, 'term'];
      else if (here === 'Close' && (phase === 'term' || phase === 'close')) phase = 'close';
      else if (here === 'Sp' && phase) phase = 'space';
      else phase = undefined;
      before = here;
    }
    at += code > 0xffff ? 2 : 1;
  }
  if (text.length > 0) yield text.length;
}

/** Whether a sentence ends between a full stop (with what belongs to it) and the character at `at`. */
function endsHere(text, at, here, { phase, term, beforeTerm }) {
  if (phase === 'term' && term === 'ATerm' && here === 'Numeric') return false;
  if (phase === 'term' && term === 'ATerm' && here === 'Upper' && (beforeTerm === 'Upper' || beforeTerm === 'Lower')) return false;
  if (here === 'SContinue' || isTerm(here) || here === 'Sp' || PARAGRAPH_ENDS.has(here)) return false;
  if (here === 'Close' && phase !== 'space') return false;
  return !(term === 'ATerm' && goesOnInLowerCase(text, at));
}

function goesOnInLowerCase(text, at) {
  for (const character of text.slice(at, at + 200)) {
    const name = sentenceClass(character.codePointAt(0));
    if (name === 'Lower') return true;
    if (name === 'OLetter' || name === 'Upper' || PARAGRAPH_ENDS.has(name) || isTerm(name)) return false;
  }
  return false;
}

const isIgnoredInWords = (name) => name === 'Extend' || name === 'Format' || name === 'ZWJ';
const isLetter = (name) => name === 'ALetter' || name === 'Hebrew';
const isMidLetter = (name) => name === 'MidLetter' || name === 'MidNumLet' || name === 'SQ';
const isMidNumber = (name) => name === 'MidNum' || name === 'MidNumLet' || name === 'SQ';
const NEWLINES = new Set(['Newline', 'CR', 'LF']);

function wordClassAt(text, at) {
  const code = text.codePointAt(at);
  return code === 0x27 ? 'SQ' : code === 0x22 ? 'DQ' : wordClass(code);
}

/** The ends of the words of a text, of what stands between them too. */
export function* wordEnds(text) {
  let [before, beforeThat] = [undefined, undefined]; // classes that count
  let last; // class of the character just before, whether it counts or not
  let regionals = 0;
  for (let at = 0; at < text.length; ) {
    const code = text.codePointAt(at);
    const here = wordClassAt(text, at);
    const width = code > 0xffff ? 2 : 1;
    if (at > 0 && isWordEnd({ last, before, beforeThat, here, regionals }, () => nextClass(text, at + width))) yield at;
    if (!isIgnoredInWords(here) || last === undefined || NEWLINES.has(last)) {
      [beforeThat, before] = [before, here];
      regionals = here === 'Regional' ? regionals + 1 : 0;
    }
    last = here;
    at += width;
  }
  if (text.length > 0) yield text.length;
}

/** The class of the next character that counts. */
function nextClass(text, at) {
  while (at < text.length) {
    const name = wordClassAt(text, at);
    if (!isIgnoredInWords(name)) return name;
    at += text.codePointAt(at) > 0xffff ? 2 : 1;
  }
  return undefined;
}

function isWordEnd({ last, before, beforeThat, here, regionals }, next) {
  if (last === 'CR' && here === 'LF') return false;
  if (NEWLINES.has(last) || NEWLINES.has(here)) return true;
  if (last === 'ZWJ' && here === 'Pictograph') return false;
  if (last === 'Space' && here === 'Space') return false;
  if (isIgnoredInWords(here)) return false;
  if (isLetter(before)) {
    if (isLetter(here) || here === 'Numeric' || here === 'ExtendNumLet') return false;
    if (isMidLetter(here) && isLetter(next())) return false;
    if (before === 'Hebrew' && (here === 'SQ' || (here === 'DQ' && next() === 'Hebrew'))) return false;
  }
  if (isMidLetter(before) && isLetter(beforeThat) && isLetter(here)) return false;
  if (before === 'DQ' && beforeThat === 'Hebrew' && here === 'Hebrew') return false;
  if (before === 'Numeric') {
    if (here === 'Numeric' || isLetter(here) || here === 'ExtendNumLet') return false;
    if (isMidNumber(here) && next() === 'Numeric') return false;
  }
  if (isMidNumber(before) && beforeThat === 'Numeric' && here === 'Numeric') return false;
  if (before === 'Katakana' && (here === 'Katakana' || here === 'ExtendNumLet')) return false;
  if (before === 'ExtendNumLet' && (here === 'ExtendNumLet' || isLetter(here) || here === 'Numeric' || here === 'Katakana')) return false;
  return !(before === 'Regional' && here === 'Regional' && regionals % 2 === 1);
}

/** Hangul syllables: those without a final consonant are every 28th. */
function syllable(code) {
  if (code < 0xac00 || code > 0xd7a3) return undefined;
  return (code - 0xac00) % 28 === 0 ? 'LV' : 'LVT';
}

/** The ends of what readers see as one character. */
export function* graphemeEnds(text) {
  let before;
  let regionals = 0;
  let joined; // 'pictograph' after one with its extensions, 'joiner' after a joiner behind it
  for (let at = 0; at < text.length; ) {
    const code = text.codePointAt(at);
    const here = graphemeClass(code) ?? syllable(code);
    if (at > 0 && isGraphemeEnd(before, here, regionals, joined)) yield at;
    regionals = here === 'Regional' ? regionals + 1 : 0;
    if (here === 'Pictograph') joined = 'pictograph';
    else if (here === 'ZWJ' && joined === 'pictograph') joined = 'joiner';
    else if (here !== 'Extend' || joined !== 'pictograph') joined = undefined;
    before = here;
    at += code > 0xffff ? 2 : 1;
  }
  if (text.length > 0) yield text.length;
}

const CONTROLS = new Set(['Control', 'CR', 'LF']);

function isGraphemeEnd(before, here, regionals, joined) {
  if (before === 'CR' && here === 'LF') return false;
  if (CONTROLS.has(before) || CONTROLS.has(here)) return true;
  if (before === 'L' && ['L', 'V', 'LV', 'LVT'].includes(here)) return false;
  if ((before === 'LV' || before === 'V') && (here === 'V' || here === 'T')) return false;
  if ((before === 'LVT' || before === 'T') && here === 'T') return false;
  if (here === 'Extend' || here === 'ZWJ' || here === 'Spacing' || before === 'Prepend') return false;
  if (joined === 'joiner' && here === 'Pictograph') return false;
  return !(before === 'Regional' && here === 'Regional' && regionals % 2 === 1);
}
