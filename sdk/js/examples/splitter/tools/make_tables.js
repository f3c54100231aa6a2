// Writes src/tables.js: which class of UAX #29 each character is of, by the properties of characters that Node.js knows. The engine of a
// component has no tables of Unicode, so an example that splits sentences and words brings those along that it needs.
//
//   node tools/make_tables.js > src/tables.js

const LAST = 0x10ffff;
const is = (pattern) => (character) => pattern.test(character);

const SENTENCE = [
  ['Sep', is(/^[\u0085\u2028\u2029]$/u)],
  ['Format', (c) => /^\p{Cf}$/u.test(c) && !/^[\u200c\u200d]$/u.test(c) && !isPrepended(c)],
  ['Sp', (c) => /^\p{White_Space}$/u.test(c) && !/^[\n\r\u0085\u2028\u2029]$/u.test(c)],
  ['Lower', (c) => /^\p{Lowercase}$/u.test(c) && !/^\p{Grapheme_Extend}$/u.test(c)],
  ['Upper', is(/^[\p{Lt}\p{Uppercase}]$/u)],
  ['OLetter', (c) => (/^\p{Alphabetic}$/u.test(c) || /^[\u00a0\u05f3]$/u.test(c)) && !isExtend(c)],
  ['Numeric', is(/^[\p{Nd}\u066b\u066c]$/u)],
  ['ATerm', is(/^[.\u2024\ufe52\uff0e]$/u)],
  ['STerm', (c) => /^\p{Sentence_Terminal}$/u.test(c)],
  ['SContinue', is(/^[,\-:;\u037e\ufe14\ufe54\uff1b\u055d\u060c\u060d\u07f8\u1802\u1808\u2013\u2014\u3001\ufe10\ufe11\ufe13\ufe31\ufe32\ufe50\ufe51\ufe55\ufe58\ufe63\uff0c\uff0d\uff1a\uff64]$/u)],
  ['Close', (c) => /^[\p{Ps}\p{Pe}\p{Quotation_Mark}\u275b-\u2760]$/u.test(c) || /^[\p{Pi}\p{Pf}]$/u.test(c)],
  ['Extend', (c) => isExtend(c) || c === '\u200d'],
];

const WORD = [
  ['Newline', is(/^[\u000b\u000c\u0085\u2028\u2029]$/u)],
  ['ZWJ', is(/^\u200d$/u)],
  ['Extend', isExtend],
  ['Format', (c) => /^\p{Cf}$/u.test(c) && !/^[\u200b\u200c\u200d]$/u.test(c) && !isPrepended(c)],
  ['Regional', is(/^\p{Regional_Indicator}$/u)],
  ['Katakana', is(/^[\p{Script=Katakana}\u3031-\u3035\u309b\u309c\u30a0\u30fc\uff70]$/u)],
  ['Hebrew', (c) => /^\p{Script=Hebrew}$/u.test(c) && /^\p{Lo}$/u.test(c)],
  ['ALetter', isLetter],
  ['MidLetter', is(/^[:\u00b7\u0387\u055f\u05f4\u2027\ufe13\ufe55\uff1a]$/u)],
  ['MidNum', is(/^[,;\u037e\u0589\u060c\u060d\u066c\u07f8\u2044\ufe10\ufe14\ufe50\ufe54\uff0c\uff1b]$/u)],
  ['MidNumLet', is(/^[.\u2018\u2019\u2024\ufe52\uff07\uff0e]$/u)],
  ['Numeric', is(/^[\p{Nd}\u066b\u0600-\u0605\u06dd\u0890\u0891\u08e2]$/u)],
  ['ExtendNumLet', is(/^[\p{Pc}\u202f]$/u)],
  ['Space', (c) => /^\p{Zs}$/u.test(c) && !/^[\u00a0\u2007\u202f]$/u.test(c)],
  ['Pictograph', is(/^\p{Extended_Pictographic}$/u)],
];

const GRAPHEME = [
  ['ZWJ', is(/^\u200d$/u)],
  ['Extend', (c) => /^[\p{Grapheme_Extend}\p{Emoji_Modifier}\u200c]$/u.test(c)],
  ['Control', (c) => /^[\p{Zl}\p{Zp}\p{Cc}\p{Cf}\p{Cs}]$/u.test(c) && !/^[\u200c\u200d]$/u.test(c) && !isPrepended(c)],
  ['Regional', is(/^\p{Regional_Indicator}$/u)],
  ['Prepend', isPrepended],
  ['Spacing', (c) => /^\p{Mc}$/u.test(c) || /^[\u0e33\u0eb3]$/u.test(c)],
  ['L', (c) => /^[\u1100-\u115f\ua960-\ua97c]$/u.test(c)],
  ['V', (c) => /^[\u1160-\u11a7\ud7b0-\ud7c6]$/u.test(c)],
  ['T', (c) => /^[\u11a8-\u11ff\ud7cb-\ud7fb]$/u.test(c)],
  ['Pictograph', is(/^\p{Extended_Pictographic}$/u)],
];

function isExtend(c) {
  return /^[\p{Grapheme_Extend}\p{Mc}\p{Emoji_Modifier}\u200c]$/u.test(c);
}

function isPrepended(c) {
  return /^[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\u{110bd}\u{110cd}]$/u.test(c);
}

/** Letters of scripts that put no spaces between words are none: without a dictionary each stands alone. */
function isLetter(c) {
  const isSpaced = !/^[\p{Ideographic}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]$/u.test(c);
  return isSpaced && !isExtend(c) && (/^\p{Alphabetic}$/u.test(c) || /^[\u02c2-\u02c5\u02d2-\u02d7\u02de\u02df\u02e5-\u02eb\u02ed\u02ef-\u02ff\u055a-\u055c\u055e\u058a\u05f3\ua708-\ua716\ua720\ua721\ua789\ua78a\uab5b]$/u.test(c));
}

/** Ranges of characters of a class, as differences: start after the last end, length. */
function ranges(classes) {
  const found = [];
  let [start, name] = [0, undefined];
  for (let code = 0; code <= LAST + 1; code += 1) {
    const isSurrogate = code >= 0xd800 && code <= 0xdfff;
    const here = code > LAST || isSurrogate ? undefined : classes.find(([, test]) => test(String.fromCodePoint(code)))?.[0];
    if (here === name) continue;
    if (name !== undefined) found.push([start, code, name]);
    [start, name] = [code, here];
  }
  return found;
}

function written(name, classes) {
  const names = classes.map(([one]) => one);
  let last = 0;
  const numbers = ranges(classes).map(([start, end, one]) => {
    const text = [start - last, end - start, names.indexOf(one)].map((number) => number.toString(36)).join(' ');
    last = end;
    return text;
  });
  return `export const ${name} = {\n  names: ${JSON.stringify(names)},\n  ranges:\n    '${numbers.join(',').replace(/(.{120,140},)/g, "$1' +\n    '")}',\n};\n`;
}

const head = '// Made by tools/make_tables.js: do not edit. Each range is the distance from the one before, its length, and its class, in base 36.\n\n';
process.stdout.write(head + [written('SENTENCE', SENTENCE), written('WORD', WORD), written('GRAPHEME', GRAPHEME)].join('\n'));
