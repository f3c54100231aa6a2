// The splitter in TypeScript: messages, parameters and outputs have types; where to cut is decided by the example in JavaScript.

import { CallError, processor, Reject, Retry, send } from 'weir-sdk';

import { checkSettings, pieces } from '../../splitter/src/split.js';
import type { Piece, Settings } from '../../splitter/src/split.js';

/** What the splitter takes. A type is a promise of the sender, so each field is checked. */
type Document = Partial<Record<'id' | 'title' | 'text', unknown>> | null;

/** What it sends. */
interface Chunk {
  document: string;
  title?: string;
  index: number;
  count: number;
  start: number;
  text: string;
}

/** A field of a document, if it is there. */
function optional(document: Document, name: 'id' | 'title' | 'text'): string | undefined {
  const value = document?.[name] ?? undefined;
  if (value === undefined || typeof value === 'string') return value;
  throw new Reject(`field \`${name}\` is not a string`);
}

/** A field that every document has. */
function required(document: Document, name: 'id' | 'text'): string {
  const value = optional(document, name);
  if (value === undefined) throw new Reject(`field \`${name}\` is missing`);
  return value;
}

function checked(parameters: Settings): Settings {
  try {
    return checkSettings(parameters);
  } catch (error) {
    throw error instanceof RangeError ? new Retry(error.message) : error;
  }
}

function cut(id: string, text: string, settings: Settings): Piece[] {
  try {
    return pieces(text, settings);
  } catch (error) {
    throw error instanceof RangeError ? new Reject(`document \`${id}\`: ${error.message}`) : error;
  }
}

function split(document: Document, parameters: Settings): void {
  const [id, text, title] = [required(document, 'id'), required(document, 'text'), optional(document, 'title')];
  const found = cut(id, text, checked(parameters));
  found.forEach((piece, index) => {
    const head: Pick<Chunk, 'document' | 'title'> = title === undefined ? { document: id } : { document: id, title };
    const chunk: Chunk = { ...head, index, count: found.length, start: piece.start, text: piece.text };
    try {
      send('output', chunk);
    } catch (error) {
      throw explained(error, id, index, found.length);
    }
  });
}

/** A document is sent as a whole or not at all. */
function explained(error: unknown, id: string, index: number, count: number): unknown {
  if (!(error instanceof CallError) || error.kind !== 'invalid') return error;
  return new Reject(
    `document \`${id}\` produces ${count} chunks, and number ${index + 1} exceeds the deployment's limits: ${error.reason}. A larger \`size\` makes ` +
      'fewer chunks, a smaller `overlap` fewer bytes',
  );
}

export const handler = processor<Document, Settings>(split, { setup: (_changed, parameters) => void checked(parameters) });
