// A host's limits on the messages of one call, with the host's errors.

import { byteLength, shown } from './bounds.js';

const MAX_PROPERTIES_COUNT = 256;
export const MAX_MESSAGE_BYTES = 4 << 20;
/** The body of an answer, which goes to a `response` topic. */
export const MAX_ANSWER_BYTES = 64 << 20;
const MAX_PROPERTY_NAME_BYTES = 128;
const MAX_PROPERTIES_BYTES = 32 << 10;
/** Requests of one call that have not ended. */
export const MAX_BEGUN_COUNT = 64;

export const DEFAULT_LIMITS = { 'sends-count': 1000, 'sends-bytes': 16 << 20 };

/** Whether a property is the host's own: not shown to components and not settable by them. */
export function isHostsOwn(name) {
  return name.startsWith('weir-') || ['id', 'traceparent', 'tracestate'].includes(name);
}

/** What is wrong with the properties of a message that a component sends, or `undefined`. */
export function propertiesProblem({ properties }) {
  if (properties.length > MAX_PROPERTIES_COUNT) return `the message has ${properties.length} properties; the limit is ${MAX_PROPERTIES_COUNT}`;
  const own = properties.find(([name]) => isHostsOwn(name));
  return own && `the property \`${shown(own[0])}\` is reserved for the host`;
}

/** The bytes of a message that count towards `sends-bytes`. */
export function sizeOf({ body, properties }) {
  return body.length + properties.reduce((sum, [name, value]) => sum + byteLength(name) + byteLength(value), 0);
}

/** What is wrong with the sizes of a message that a component sends, or `undefined`. */
export function sizeProblem({ body, contentType, properties }, bodyLimit) {
  const tooLong = properties.map(([name]) => name).find((name) => byteLength(name) > MAX_PROPERTY_NAME_BYTES);
  const total = byteLength(contentType ?? '') + sizeOf({ body: '', properties });
  return (
    atMost('the body of the message', body.length, bodyLimit) ??
    (tooLong && atMost(`the property name \`${shown(tooLong, 32)}...\``, byteLength(tooLong), MAX_PROPERTY_NAME_BYTES)) ??
    atMost('the properties of the message', total, MAX_PROPERTIES_BYTES)
  );
}

function atMost(what, actual, limit) {
  return actual <= limit ? undefined : `${what} has ${actual} bytes; the limit is ${limit}`;
}
