/**
 * A processor in Node's own test runner (`node --test`), without a host.
 *
 * ```js
 * import assert from 'node:assert/strict';
 * import { test } from 'node:test';
 * import { kit } from 'weir-sdk/testing';
 * import { handler } from '../src/processor.js';
 *
 * test('words are counted', async () => {
 *   const handled = await kit(handler).parameter('shortest', 3).handle('input', { id: 'a', text: 'to be or not to be' });
 *   assert.deepEqual(handled.json('output'), [{ id: 'a', words: 1 }]);
 * });
 * ```
 *
 * The kit applies the rules of the real host, with the same errors: names that weir.toml does not declare are rejected, parameters have their
 * defaults and are checked, nothing is sent if the handler fails, messages and their number are limited. It has no sandbox, no clock (`timeLeft`
 * does not advance), no memory limit, and Node's own globals: `weir test` runs the built component in the real host.
 */
import { ErrorKind, Failure, Level, Message, Processor, Sendable } from '../index.js';

/** The answer of a service: a message, or an `Answer` of several parts or an error. */
export declare class Answer {
  private constructor();
  /** An answer in parts. */
  static parts(values: Iterable<Sendable>): Answer;
  /** No answer, but an error. */
  static error(kind: ErrorKind, reason?: string): Answer;
  /** The same answer, ended by an error after its parts. */
  thenError(kind: ErrorKind, reason?: string): Answer;
}

export type Service = Sendable | Answer | ((request: Message) => Sendable | Answer);

export interface Sent {
  /** The name of the output, or of the request. */
  readonly to: string;
  readonly message: Message;
}

export interface LogLine {
  readonly level: Level;
  readonly message: string;
  readonly fields: Record<string, string>;
}

/** The result of handling a message. */
export declare class Handled {
  private constructor();
  /** Why it could not be handled; `undefined` if it was. */
  readonly failure: Failure | undefined;
  /** All sent messages, in order; empty if the handler failed. */
  readonly sent: Sent[];
  /** Whether the handler marked the last part of its answer. If not, the host ends the answer. */
  readonly isAnswered: boolean;
  /** The requests that were sent, regardless of their results. */
  readonly requests: Sent[];
  /** The lines logged through `log` or `console`. */
  readonly log: LogLine[];
  /** The messages sent to an output. Throws if the handler failed or the output does not exist. */
  outputs(output: string): Message[];
  /** As `outputs`, read as JSON. */
  json(output: string): any[];
  /** The sent parts of the answer. Throws if the handler failed before sending one. */
  replies(): Message[];
  /** As `replies`, read as JSON. */
  replyJson(): any[];
}

export interface KitOptions {
  /** The descriptor as an object, or its path; default: the nearest weir.toml (or descriptor.json) from the current folder upwards. */
  descriptor?: object | string;
}

/** A kit of a processor: one instance of it. */
export declare function kit(handler: Processor, options?: KitOptions): Kit;

/**
 * Passes the messages of a fixture, which `weir test` runs against the component, to a new kit, and compares the results.
 *
 * ```js
 * test('words.json', () => runFixture(kit(handler), 'tests/words.json'));
 * ```
 *
 * Rejects with an `AssertionError` that names each difference, and with an `Error` if the file is not a fixture, or has `limits`: a kit limits
 * neither memory nor time. After a trap a kit accepts no further message, where a host continues with a new instance.
 */
export declare function runFixture(kit: Kit, path: string | URL): Promise<void>;

/** One instance of a processor, with the settings of a flow and a deployment. Everything except parameters can be changed at any time. */
export declare class Kit {
  private constructor();
  /** The names of the inputs (consumers) in weir.toml. */
  readonly inputs: string[];
  /** Sets a parameter, as a flow does; others have their defaults. Only before the first message. */
  parameter(name: string, value: unknown): this;
  /** Sets a value of the configuration; a value that is not a string is written as JSON. `setup` runs before the next message. */
  config(type: string, key: string, value: unknown): this;
  /** Removes a value of the configuration. */
  removeConfig(type: string, key: string): this;
  /** Answers the requests to a service with a value or a function. Several are used in turn, the last one repeatedly. */
  answer(request: string, ...services: Service[]): this;
  /** The number of the attempt for the next messages, from 1. An attempt above the first has the message id of the message before it. */
  attempt(number: number): this;
  /** The value of `context.remainingMs`; default 60,000. */
  timeLeft(ms: number): this;
  /** The id of the flow; default `test`. */
  flow(id: string): this;
  /** Assigns a topic to an output if the descriptor leaves the outputs open with `*`. */
  output(name: string): this;
  /** Removes the topic of an optional output: messages sent to it are dropped. */
  withoutOutput(name: string): this;
  /** Sets a limit of the deployment. */
  limit(name: 'sends-count' | 'sends-bytes', value: number): this;
  /** Does what a host does before the next message, and what `handle` otherwise does. Rejects with the error that `weir status` would show. */
  configure(): Promise<void>;
  /** Passes a message to an input of the processor, and collects the results. */
  handle(input: string, message: Sendable | null): Promise<Handled>;
}
