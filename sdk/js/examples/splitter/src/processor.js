// Splits texts into overlapping chunks that end where sentences or paragraphs do: what plugins/splitter does, in JavaScript.

import { CallError, processor, Reject, Retry, send } from 'weir-sdk';

import { checkSettings, pieces } from './split.js';

/** A field of a document, which must be a string. */
function field(document, name, { isOptional } = {}) {
  const value = document?.[name] ?? undefined;
  if (typeof value === 'string' || (value === undefined && isOptional)) return value;
  throw new Reject(value === undefined ? `field \`${name}\` is missing` : `field \`${name}\` is not a string`);
}

function settings(parameters) {
  try {
    return checkSettings(parameters);
  } catch (error) {
    throw new Retry(error.message);
  }
}

function split(document, parameters) {
  const [id, text, title] = [field(document, 'id'), field(document, 'text'), field(document, 'title', { isOptional: true })];
  const found = cut(id, text, settings(parameters));
  found.forEach((piece, index) => {
    const chunk = { document: id, ...(title === undefined ? {} : { title }), index, count: found.length, start: piece.start, text: piece.text };
    try {
      send('output', chunk);
    } catch (error) {
      throw explained(error, id, index, found.length);
    }
  });
}

function cut(id, text, chosen) {
  try {
    return pieces(text, chosen);
  } catch (error) {
    throw error instanceof RangeError ? new Reject(`document \`${id}\`: ${error.message}`) : error;
  }
}

/** A document is sent as a whole or not at all; which limit was reached, the host knows, and what to do about it, we. */
function explained(error, id, index, count) {
  if (!(error instanceof CallError) || error.kind !== 'invalid') return error;
  return new Reject(
    `document \`${id}\` produces ${count} chunks, and number ${index + 1} exceeds the deployment's limits: ${error.reason}. A larger \`size\` makes ` +
      'fewer chunks, a smaller `overlap` fewer bytes',
  );
}

export const handler = processor(split, { setup: (_changed, parameters) => void settings(parameters) });
