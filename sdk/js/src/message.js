// Messages, and what can be made one.

import { Reject } from './failure.js';
import { parse } from './json.js';
import { validUpTo } from './utf8.js';
import { writeJson } from './writing.js';

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const TEXT_TYPE = 'text/plain; charset=utf-8';
const BYTES_TYPE = 'application/octet-stream';

export class Message {
  /** The name of the input that it came from. */
  input;

  constructor(body, { contentType, properties } = {}) {
    this.body = typeof body === 'string' ? encoder.encode(body) : asBytes(body);
    this.contentType = contentType ?? (typeof body === 'string' ? TEXT_TYPE : BYTES_TYPE);
    this.properties = readProperties(properties);
  }

  static json(value, { properties } = {}) {
    const message = new Message(written(value), { properties });
    message.contentType = undefined;
    return message;
  }

  static text(text, { properties } = {}) {
    if (typeof text !== 'string') throw new TypeError(`Message.text takes a string, not ${kindOf(text)}`);
    return new Message(text, { properties });
  }

  /** A message as the host hands it over. */
  static received({ body, contentType, properties }, input) {
    const message = Object.create(Message.prototype);
    message.body = body;
    message.contentType = contentType;
    message.properties = Object.fromEntries(properties);
    message.input = input;
    return message;
  }

  text() {
    try {
      return decoder.decode(this.body);
    } catch (error) {
      // The engine throws a plain string when memory runs out: the message is not at fault.
      if (!(error instanceof TypeError)) throw error;
      throw new Reject(`the body is not UTF-8 text: byte ${validUpTo(this.body)} is invalid`);
    }
  }

  json() {
    const text = this.text();
    try {
      return JSON.parse(text);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      return readJson(text);
    }
  }

  property(name) {
    return Object.hasOwn(this.properties, name) ? this.properties[name] : undefined;
  }

  withProperties(properties) {
    const message = Object.assign(Object.create(Message.prototype), this);
    message.properties = { ...this.properties, ...readProperties(properties) };
    return message;
  }
}

function readJson(text) {
  try {
    return parse(text, 'the body');
  } catch (error) {
    throw new Reject(error.message);
  }
}

function asBytes(body) {
  if (body instanceof Uint8Array) return body;
  if (body instanceof ArrayBuffer) return new Uint8Array(body);
  if (ArrayBuffer.isView(body)) return new Uint8Array(body.buffer, body.byteOffset, body.byteLength);
  throw new TypeError(`the body of a message must be a string or bytes (Uint8Array), not ${kindOf(body)}; for JSON use Message.json(value)`);
}

function readProperties(properties = {}) {
  const read = {};
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined) continue;
    if (!['string', 'number', 'boolean', 'bigint'].includes(typeof value)) {
      throw new TypeError(`the property \`${name}\` of a message must be a string, not ${kindOf(value)}`);
    }
    read[name] = String(value);
  }
  return read;
}

/** A value as JSON in bytes. */
function written(value) {
  refuse(value);
  let bytes;
  try {
    bytes = writeJson(value);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new TypeError(`the message cannot be written as JSON: ${error.message.split('\n')[0]}`);
  }
  if (bytes === undefined) throw new TypeError(`the message cannot be written as JSON: it is ${kindOf(value)}`);
  return bytes;
}

/** Refuses what JSON would silently write as `{}`. */
function refuse(value) {
  if (typeof value !== 'object' || value === null) return;
  if (typeof value.then === 'function') throw new TypeError('the message is a promise: put `await` before it');
  if (value instanceof Map) throw new TypeError('a Map cannot be written as JSON: use Object.fromEntries(map)');
  if (value instanceof Set) throw new TypeError('a Set cannot be written as JSON: use [...set]');
  if (value instanceof Error) throw new TypeError('an Error cannot be sent as a message: throw it, or send an object with its message');
}

/** What a value is, for people. */
export function kindOf(value) {
  if (value === null) return 'null';
  if (value === undefined) return 'undefined';
  if (Array.isArray(value)) return 'an array';
  if (typeof value === 'object') {
    const name = value.constructor?.name;
    return name && name !== 'Object' ? `a value of class ${name}` : 'an object';
  }
  return typeof value === 'function' ? 'a function' : `a ${typeof value}`;
}

/** Makes the message that `value` stands for: a `Message` is itself, bytes are bytes, anything else is JSON. */
export function toMessage(value) {
  if (value instanceof Message) return value;
  if (value instanceof Uint8Array || value instanceof ArrayBuffer || ArrayBuffer.isView(value)) return new Message(value);
  return Message.json(value);
}

/** A message as the host takes it. */
export function lowered(value) {
  const { body, contentType, properties } = toMessage(value);
  return { body, contentType, properties: Object.entries(properties) };
}

/** Reads a message in the way that an author asked for. */
export function readAs(message, as) {
  if (as === 'json') return message.json();
  if (as === 'text') return message.text();
  return as === 'bytes' ? message.body : message;
}

export function checkAs(as = 'json') {
  if (!['json', 'text', 'bytes', 'message'].includes(as)) {
    throw new TypeError(`\`as\` must be one of: json, text, bytes, message; not ${typeof as === 'string' ? `\`${as}\`` : kindOf(as)}`);
  }
  return as;
}
