// Expressions: compiled once, evaluated within bounds.

import jsonata from 'jsonata';
import { Reject, Retry } from 'weir-sdk';

import type { Parameters } from './settings.js';

/** What an expression sees of the message beside its body, as `$message`. */
export interface MessageInfo {
  id: string;
  attempt: number;
  input: string;
  properties: Record<string, string>;
}

export interface Bounds {
  maxTimeMs: number;
  maxDepth: number;
  maxItems: number;
}

/** jsonata throws plain objects. */
interface Fault {
  code?: string;
  message?: string;
  position?: number;
}

const MAX_EXPRESSION_CHARACTERS = 64 << 10;
/** `$pad` would make a string of any length in one step. */
const MAX_PADDING = 100_000;

/** The evaluation took too long: another attempt, at a quieter time, may do. */
const TIMED_OUT = 'D1012';

export class Expression {
  readonly #compiled: jsonata.Expression;

  private constructor(compiled: jsonata.Expression) {
    this.#compiled = compiled;
  }

  /** Compiles a text; `what` says where it is from. The message in hand is not at fault for an expression that cannot be read. */
  static compile(text: unknown, what: string, bounds: Bounds): Expression {
    if (typeof text !== 'string' || text.trim() === '') throw new Retry(`${what} must be a JSONata expression: a string that is not empty`);
    if (text.length > MAX_EXPRESSION_CHARACTERS) throw new Retry(`${what} has ${text.length} characters; the limit is ${MAX_EXPRESSION_CHARACTERS}`);
    let compiled: jsonata.Expression;
    try {
      compiled = jsonata(text, { timeout: bounds.maxTimeMs, stack: bounds.maxDepth, sequence: bounds.maxItems });
    } catch (fault) {
      throw new Retry(`${what} is not JSONata: ${shown(fault as Fault)}`);
    }
    compiled.registerFunction('eval', refuseEval, '<sx?:x>');
    compiled.registerFunction('pad', pad, '<s-ns?:s>');
    return new Expression(compiled);
  }

  /** What the expression makes of a document: `undefined` for nothing. A document that it fails for is rejected. */
  async evaluate(document: unknown, message: MessageInfo): Promise<unknown> {
    try {
      return await this.#compiled.evaluate(document, { message });
    } catch (fault) {
      const reason = `the expression failed: ${shown(fault as Fault)}`;
      throw (fault as Fault)?.code === TIMED_OUT ? new Retry(reason) : new Reject(reason);
    }
  }
}

/** The expression that the parameters or the configuration hold. `read` gives the value of a key. */
export function textOf(parameters: Parameters, read: (key: string) => unknown): { text: unknown; what: string } {
  if (parameters.expression !== '') return { text: parameters.expression, what: 'parameter `expression`' };
  const value = read(parameters.configKey);
  const what = `the value of config type \`json-transform\`, key \`${parameters.configKey}\``;
  if (value === undefined) throw new Retry(`${what} is missing: put it, for instance by \`weir config put json-transform ${parameters.configKey} '"..."'\``);
  const isObject = typeof value === 'object' && value !== null;
  return isObject ? { text: (value as { expression?: unknown }).expression, what: `${what}, field \`expression\`` } : { text: value, what };
}

function shown({ code, message, position }: Fault): string {
  const place = position === undefined ? '' : ` at character ${position}`;
  return `${message ?? 'it gave no reason'}${place}${code ? ` (${code})` : ''}`;
}

/** Texts of messages are data, not expressions. */
function refuseEval(): never {
  throw { message: '$eval is not available: expressions are in the parameters or the configuration only' };
}

function pad(text: string | undefined, width: number, fill?: string): string | undefined {
  if (text === undefined) return undefined;
  const length = Math.abs(width);
  if (length > MAX_PADDING) throw { message: `$pad makes at most ${MAX_PADDING} characters, not ${length}` };
  // JSONata counts characters, JavaScript counts UTF-16 code units.
  const missing = length - [...text].length;
  const filler = [...(fill || ' ')];
  const padding = Array.from({ length: Math.max(0, missing) }, (_, i) => filler[i % filler.length]).join('');
  return width < 0 ? padding + text : text + padding;
}
