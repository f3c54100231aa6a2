// Reading JSON so that what is wrong can be found: the engine's own parser reads, and only what it refuses is read a second time.

/** Reads a JSON text. `what` says whose text it is; what is wrong is thrown as a `SyntaxError` for people. */
export function parse(text, what) {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new SyntaxError(fault(text, what));
  }
}

function fault(text, what) {
  if (text.length === 0) return `${what} is empty where JSON is expected`;
  const { at, problem, path } = new Scanner(text).firstFault();
  const before = text.slice(0, at);
  const line = before.split('\n').length;
  const column = at - before.lastIndexOf('\n');
  const field = path ? `, field \`${path}\`` : '';
  return `${what} is not JSON${field}: ${problem} at line ${line} column ${column}`;
}

class Fault extends Error {}

/** Reads JSON to find where it goes wrong; what it reads it throws away. */
class Scanner {
  constructor(text) {
    this.text = text;
    this.at = 0;
    this.path = [];
  }

  firstFault() {
    try {
      this.value();
      this.space();
      if (this.at < this.text.length) this.unexpected('the end');
      this.fail('it cannot be read');
    } catch (error) {
      if (error instanceof RangeError || !(error instanceof Fault)) return { at: this.at, problem: 'it is nested too deeply', path: '' };
      return { at: Math.min(this.at, this.text.length), problem: error.message, path: this.shownPath() };
    }
  }

  shownPath() {
    const shown = this.path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${step}`)).join('');
    return shown.replace(/^\./, '').slice(0, 200);
  }

  fail(problem) {
    throw new Fault(problem);
  }

  unexpected(wanted) {
    const found = this.at < this.text.length ? `\`${String.fromCodePoint(this.text.codePointAt(this.at))}\`` : 'the end';
    this.fail(`expected ${wanted}, found ${found}`);
  }

  space() {
    while (/[ \t\r\n]/.test(this.text[this.at] ?? '')) this.at += 1;
  }

  skip(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found) this.at += found[0].length;
    return found !== null;
  }

  value() {
    this.space();
    const first = this.text[this.at];
    if (first === '{') return this.object();
    if (first === '[') return this.array();
    if (first === '"') return this.string();
    if (!this.skip(/true|false|null|-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y)) this.unexpected('a value');
    return undefined;
  }

  string() {
    const start = this.at;
    this.skip(/"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*/y);
    if (this.text[this.at] !== '"') this.unexpected('the rest of a string');
    this.at += 1;
    return this.text.slice(start + 1, this.at - 1);
  }

  object() {
    this.at += 1;
    this.space();
    if (this.text[this.at] === '}') return void (this.at += 1);
    for (;;) {
      this.space();
      if (this.text[this.at] !== '"') this.unexpected('a key in double quotes');
      this.path.push(this.string());
      this.space();
      if (this.text[this.at] !== ':') this.unexpected('a colon');
      this.at += 1;
      this.value();
      this.path.pop();
      this.space();
      if (this.text[this.at] === '}') return void (this.at += 1);
      if (this.text[this.at] !== ',') this.unexpected('a comma or `}`');
      this.at += 1;
    }
  }

  array() {
    this.at += 1;
    this.space();
    if (this.text[this.at] === ']') return void (this.at += 1);
    for (let index = 0; ; index += 1) {
      this.path.push(index);
      this.value();
      this.path.pop();
      this.space();
      if (this.text[this.at] === ']') return void (this.at += 1);
      if (this.text[this.at] !== ',') this.unexpected('a comma or `]`');
      this.at += 1;
    }
  }
}
