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
 * The kit keeps the rules of the real host and uses its words: what weir.toml does not declare is refused, parameters have their defaults and
 * are checked, nothing leaves when the handler fails, messages and their number are limited. It has no sandbox, no clock (`timeLeft` stands
 * still), no memory limit, and Node's own globals: `weir test` runs the built component in the real host.
 */
import { ErrorKind, Failure, Level, Message, Processor, Sendable } from '../index.js';

/** What a service answers: a message, or an `Answer` of several parts or an error. */
export declare class Answer {
  private constructor();
  /** An answer in parts. */
  static parts(values: Iterable<Sendable>): Answer;
  /** No answer, but an error. */
  static error(kind: ErrorKind, reason?: string): Answer;
  /** The same answer, broken off by an error after its parts. */
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

/** What came of a message. */
export declare class Handled {
  private constructor();
  /** Why it could not be handled; `undefined` if it was. */
  readonly failure: Failure | undefined;
  /** All messages that left, in the order in which they were sent; none if the handler failed. */
  readonly sent: Sent[];
  /** Whether the handler marked the last part of its answer. If not, the host ends the answer. */
  readonly isAnswered: boolean;
  /** The requests that were sent, whatever came of them. */
  readonly requests: Sent[];
  /** The lines that were logged, by `log` or `console`. */
  readonly log: LogLine[];
  /** The messages that left for an output. Throws if the handler failed, or if there is no such output. */
  outputs(output: string): Message[];
  /** As `outputs`, read as JSON. */
  json(output: string): any[];
  /** The parts of the answer that left. Throws if the handler failed before one did. */
  replies(): Message[];
  /** As `replies`, read as JSON. */
  replyJson(): any[];
}

export interface KitOptions {
  /** The descriptor as an object, or the path of one; unless set, what the nearest weir.toml (or descriptor.json) from the current folder upwards says. */
  descriptor?: object | string;
}

/** A kit of a processor: one instance of it. */
export declare function kit(handler: Processor, options?: KitOptions): Kit;

/**
 * Hands the messages of a fixture, which `weir test` runs against the component, to a new kit, and compares what comes of them.
 *
 * ```js
 * test('words.json', () => runFixture(kit(handler), 'tests/words.json'));
 * ```
 *
 * Rejects with an `AssertionError` that names each difference, and with an `Error` if the file is no fixture, or has `limits`: a kit limits
 * neither memory nor time. After a trap a kit takes no further message, where a host goes on with a new instance.
 */
export declare function runFixture(kit: Kit, path: string | URL): Promise<void>;

/** One instance of a processor, with what a flow and a deployment give it. Everything can be set at any time but parameters. */
export declare class Kit {
  private constructor();
  /** The names of the inputs (consumers) in weir.toml. */
  readonly inputs: string[];
  /** Sets a parameter, as a flow does; others have their defaults. Only before the first message. */
  parameter(name: string, value: unknown): this;
  /** Sets a value of the configuration; a value that is not a string is written as JSON. `setup` is told before the next message. */
  config(type: string, key: string, value: unknown): this;
  /** Removes a value of the configuration. */
  removeConfig(type: string, key: string): this;
  /** Answers the requests to a service: with a value or by a function. Several are used in turn, the last one for ever. */
  answer(request: string, ...services: Service[]): this;
  /** Which attempt the next messages are in, from 1. An attempt above the first has the message id of the message before it. */
  attempt(number: number): this;
  /** What `context.remainingMs` says; 60,000 unless set. */
  timeLeft(ms: number): this;
  /** The id of the flow; `test` unless set. */
  flow(id: string): this;
  /** Gives an output a topic where the descriptor leaves the outputs open by `*`. */
  output(name: string): this;
  /** Gives an optional output no topic: what is sent there is dropped. */
  withoutOutput(name: string): this;
  /** Sets a limit of the deployment. */
  limit(name: 'sends-count' | 'sends-bytes', value: number): this;
  /** Gets ready as a host does before the next message, which otherwise `handle` does. Rejects with what `weir status` would show. */
  configure(): Promise<void>;
  /** Hands the processor a message of an input, and collects what comes of it. */
  handle(input: string, message: Sendable | null): Promise<Handled>;
}
