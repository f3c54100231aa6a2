// The part of TOML that weir.toml uses: keys, tables, lists of tables, strings, numbers, true and false, lists and inline tables.

export class TomlError extends Error {
  constructor(line, problem) {
    super(`line ${line}: ${problem}`);
    this.name = 'TomlError';
  }
}

const ESCAPES = { b: '\b', t: '\t', n: '\n', f: '\f', r: '\r', '"': '"', '\\': '\\' };

/** Reads a document into plain objects. */
export function parseToml(text) {
  return new Reader(text).document();
}

class Reader {
  #text;
  #at = 0;
  #root = {};
  #defined = new Set();

  constructor(text) {
    this.#text = text.replace(/\r\n/g, '\n');
  }

  document() {
    let table = this.#root;
    let path = '';
    for (;;) {
      this.#space(true);
      if (this.#at >= this.#text.length) return this.#root;
      if (this.#take('[[')) {
        const keys = this.#key();
        this.#expect(']]');
        table = this.#append(keys);
        path = `${keys.join('.')}[${this.#at}]`;
      } else if (this.#take('[')) {
        const keys = this.#key();
        this.#expect(']');
        path = keys.join('.');
        if (this.#defined.has(path)) this.#fail(`table \`${path}\` is there twice`);
        this.#defined.add(path);
        table = this.#descend(this.#root, keys);
      } else {
        this.#pair(table);
      }
      this.#endOfLine();
    }
  }

  #fail(problem) {
    throw new TomlError(this.#text.slice(0, this.#at).split('\n').length, problem);
  }

  #match(pattern) {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text);
    if (found) this.#at += found[0].length;
    return found?.[0];
  }

  #take(token) {
    if (!this.#text.startsWith(token, this.#at)) return false;
    this.#at += token.length;
    return true;
  }

  #expect(token) {
    this.#space();
    if (!this.#take(token)) this.#fail(`expected \`${token}\`, found ${this.#found()}`);
  }

  #found() {
    const rest = /[^\n]{0,20}/y;
    rest.lastIndex = this.#at;
    const found = rest.exec(this.#text)?.[0];
    return found ? `\`${found}\`` : 'the end of the line';
  }

  #space(withLines = false) {
    this.#match(withLines ? /(?:[ \t\n]|#[^\n]*)*/y : /[ \t]*/y);
  }

  #endOfLine() {
    this.#space();
    this.#match(/#[^\n]*/y);
    if (this.#at < this.#text.length && !this.#take('\n')) this.#fail(`expected the end of the line, found ${this.#found()}`);
  }

  #key() {
    const keys = [];
    do {
      this.#space();
      const bare = this.#match(/[A-Za-z0-9_-]+/y);
      if (bare !== undefined) keys.push(bare);
      else if (/["']/.test(this.#text[this.#at] ?? '')) keys.push(this.#string());
      else this.#fail(`expected a key, found ${this.#found()}`);
      this.#space();
    } while (this.#take('.'));
    return keys;
  }

  #pair(table) {
    const keys = this.#key();
    this.#expect('=');
    this.#space();
    const last = keys.pop();
    const target = this.#descend(table, keys);
    if (Object.hasOwn(target, last)) this.#fail(`key \`${last}\` is there twice`);
    target[last] = this.#value();
  }

  #descend(table, keys) {
    let target = table;
    for (const key of keys) {
      if (!Object.hasOwn(target, key)) target[key] = {};
      target = Array.isArray(target[key]) ? target[key].at(-1) : target[key];
      if (typeof target !== 'object') this.#fail(`\`${key}\` is a value, not a table`);
    }
    return target;
  }

  #append(keys) {
    const target = this.#descend(this.#root, keys.slice(0, -1));
    const last = keys.at(-1);
    target[last] ??= [];
    if (!Array.isArray(target[last])) this.#fail(`\`${last}\` is not a list of tables`);
    target[last].push({});
    return target[last].at(-1);
  }

  #value() {
    const first = this.#text[this.#at];
    if (first === '"' || first === "'") return this.#string();
    if (this.#take('[')) return this.#list();
    if (this.#take('{')) return this.#inlineTable();
    const word = this.#match(/[A-Za-z0-9+._:-]+/y) ?? '';
    if (word === 'true' || word === 'false') return word === 'true';
    const plain = word.replace(/(?<=[0-9a-fA-F])_(?=[0-9a-fA-F])/g, '');
    if (/^(0x[0-9a-fA-F]+|0o[0-7]+|0b[01]+|[+-]?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?)$/.test(plain)) return Number(plain);
    this.#at -= word.length;
    return this.#fail(`expected a value, found ${this.#found()}; a string is written in quotes`);
  }

  #list() {
    const values = [];
    for (;;) {
      this.#space(true);
      if (this.#take(']')) return values;
      values.push(this.#value());
      this.#space(true);
      if (!this.#take(',') && this.#text[this.#at] !== ']') this.#fail(`expected \`,\` or \`]\`, found ${this.#found()}`);
    }
  }

  #inlineTable() {
    const table = {};
    this.#space();
    if (this.#take('}')) return table;
    do {
      this.#pair(table);
      this.#space();
    } while (this.#take(','));
    this.#expect('}');
    return table;
  }

  #string() {
    if (this.#take('"""')) return this.#multiline('"""', true);
    if (this.#take("'''")) return this.#multiline("'''", false);
    if (this.#take("'")) {
      const text = this.#match(/[^'\n]*/y);
      if (!this.#take("'")) this.#fail("the string has no end: expected `'`");
      return text;
    }
    this.#take('"');
    const text = this.#match(/(?:[^"\\\n]|\\.)*/y);
    if (!this.#take('"')) this.#fail('the string has no end: expected `"`');
    return this.#unescaped(text);
  }

  #multiline(quotes, hasEscapes) {
    this.#take('\n');
    const end = this.#text.indexOf(quotes, this.#at);
    if (end < 0) this.#fail(`the string has no end: expected \`${quotes}\``);
    const text = this.#text.slice(this.#at, end);
    this.#at = end + 3;
    return hasEscapes ? this.#unescaped(text.replace(/\\[ \t]*\n\s*/g, '')) : text;
  }

  #unescaped(text) {
    return text.replace(/\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)/gs, (_, escape) => {
      if (/^[uU]./.test(escape)) return String.fromCodePoint(Number.parseInt(escape.slice(1), 16));
      return ESCAPES[escape] ?? this.#fail(`\`\\${escape}\` is not an escape of TOML strings`);
    });
  }
}
