// Writing JSON as bytes. For a string the engine's own writer reserves six times its length, at two bytes for each unit: a long one is written in
// pieces, and what holds it by hand.

const encoder = new TextEncoder();

const LONG_UNITS = 1 << 18;
const PIECE_UNITS = 1 << 16;
/** What is nested deeper is left to the engine, which finds cycles, too. */
const MAX_DEPTH = 4;
/** So many values are looked at for a long string: a value of very many has others to thank for its size. */
const MAX_LOOKED_AT = 10_000;

/** A value as JSON in UTF-8; `undefined` where it has none. What JSON cannot write is thrown, as by `JSON.stringify`. */
export function writeJson(value) {
  if (!holdsLong(value, { left: MAX_LOOKED_AT }, 0)) {
    const text = JSON.stringify(value);
    return text === undefined ? undefined : encoder.encode(text);
  }
  const parts = [];
  write(value, parts, 0);
  return joined(parts);
}

function isLong(value) {
  return typeof value === 'string' && value.length >= LONG_UNITS;
}

/** Whether it is an array or an object that JSON writes key by key. */
function isPlain(value) {
  if (typeof value !== 'object' || value === null || typeof value.toJSON === 'function') return false;
  return Array.isArray(value) || [Object.prototype, null].includes(Object.getPrototypeOf(value));
}

function holdsLong(value, looks, depth) {
  if (isLong(value)) return true;
  if (depth === MAX_DEPTH || !isPlain(value)) return false;
  for (const key of Object.keys(value)) {
    looks.left -= 1;
    if (looks.left < 0) return false;
    if (holdsLong(value[key], looks, depth + 1)) return true;
  }
  return false;
}

/** Adds the JSON of a value; whether it has any. */
function write(value, parts, depth) {
  if (isLong(value)) return writeString(value, parts);
  if (depth < MAX_DEPTH && isPlain(value)) return Array.isArray(value) ? writeArray(value, parts, depth) : writeObject(value, parts, depth);
  const text = JSON.stringify(value);
  if (text === undefined) return false;
  return add(text, parts);
}

function add(text, parts) {
  parts.push(encoder.encode(text));
  return true;
}

function writeString(text, parts) {
  add('"', parts);
  for (let at = 0; at < text.length; ) {
    let end = Math.min(at + PIECE_UNITS, text.length);
    // Both halves of a character are in one piece.
    if (end < text.length && (text.charCodeAt(end - 1) & 0xfc00) === 0xd800) end += 1;
    add(JSON.stringify(text.slice(at, end)).slice(1, -1), parts);
    at = end;
  }
  return add('"', parts);
}

function writeArray(items, parts, depth) {
  add('[', parts);
  for (let index = 0; index < items.length; index += 1) {
    if (index > 0) add(',', parts);
    if (!write(items[index], parts, depth + 1)) add('null', parts);
  }
  return add(']', parts);
}

function writeObject(object, parts, depth) {
  add('{', parts);
  let isFirst = true;
  for (const key of Object.keys(object)) {
    const own = [];
    if (!write(object[key], own, depth + 1)) continue;
    add(`${isFirst ? '' : ','}${JSON.stringify(key)}:`, parts);
    for (const part of own) parts.push(part);
    isFirst = false;
  }
  return add('}', parts);
}

function joined(parts) {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
