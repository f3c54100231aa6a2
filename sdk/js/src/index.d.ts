/**
 * Write message processors for Weir in JavaScript and TypeScript.
 *
 * ```js
 * import { processor, Reject } from 'weir-sdk';
 *
 * export const handler = processor((doc, { prefix }) => {
 *   if (!doc.text) throw new Reject('field `text` is empty');
 *   return { text: prefix + doc.text.toUpperCase() };
 * });
 * ```
 *
 * The function receives the body of a message as JSON, the parameters of the processor, and the complete message. The return value is sent to
 * the output named `output`, or is the answer if the message is a request. Outputs are sent after the function has returned, and discarded if it
 * throws. Treat the memory of an instance as a cache: the host may replace the instance between two messages.
 */

/** How the body of a message is read: as JSON, as a string in UTF-8, as bytes, or not at all (`message`, the whole message). */
export type As = 'json' | 'text' | 'bytes' | 'message';

/** A value that can be sent: a `Message` unchanged, bytes as `application/octet-stream`, anything else as JSON. */
export type Sendable = Message | Uint8Array | ArrayBuffer | object | string | number | boolean;

/** The return value of a handler: a message, several in an array or from a generator, or nothing (`undefined` or `null`). */
export type Outcome = Sendable | null | undefined | void | Iterable<Sendable | null | undefined> | AsyncIterable<Sendable | null | undefined>;

/** The default type of parameters: depending on weir.toml a string, a number, a boolean, or a JSON value. */
export type Parameters = { readonly [name: string]: any };

/**
 * Handles one message. It may be asynchronous; the next message is delivered once its promise is settled.
 *
 * `doc` is the body, `parameters` are frozen, with the names in weir.toml (`least-score`) and in camel case (`leastScore`); `message` is the
 * whole message.
 */
export type Handler<Doc = any, Params = Parameters> = (doc: Doc, parameters: Params, message: Received) => Outcome | Promise<Outcome>;

/** The type of `doc` for each way to read a body. */
export interface Bodies<Doc> {
  json: Doc;
  text: string;
  bytes: Uint8Array;
  message: Received;
}

export interface Options<A extends As = As, Params = Parameters> {
  /** How bodies are read; default `json`. A body that cannot be read is rejected, with the field and the position. */
  as?: A;
  /**
   * Called on each new instance before its first message, with the names of the config types that weir.toml declares, and again
   * with those that changed. Use it to check parameters, parse configuration and compile patterns. If it throws on a new instance, the instance
   * receives no messages, and `weir status` shows why. Messages cannot be sent here.
   */
  setup?: (changed: string[], parameters: Params) => void | Promise<void>;
}

/** The handlers of several inputs, by name. */
export interface Handlers {
  [input: string]: Handler<any, any> | { handle: Handler<any, any>; as?: As };
}

/** The result of `processor`. A module exports it as `handler`. */
export declare class Processor {
  private constructor();
  /** Whether it was given a `setup`. */
  readonly hasSetup: boolean;
}

/**
 * Creates a processor from a function that handles the messages of all inputs.
 *
 * ```ts
 * interface Doc { id: string; text: string }
 * interface Params { shortest: number }
 *
 * export const handler = processor<Doc, Params>(({ id, text }, { shortest }) => {
 *   const words = text.split(/\s+/).filter((word) => word.length >= shortest);
 *   return { id, words: words.length };
 * });
 * ```
 */
export declare function processor<Doc = any, Params = Parameters, A extends As = 'json'>(
  handler: Handler<Bodies<Doc>[A], Params>,
  options?: Options<A, Params>,
): Processor;

/**
 * Creates a processor from a function for each input.
 *
 * ```js
 * export const handler = processor({
 *   input: (doc) => ({ length: doc.text.length }),
 *   control: { as: 'text', handle: (command) => log.info(command) },
 * });
 * ```
 */
export declare function processor(handlers: Handlers, options?: Options): Processor;

export interface MessageOptions {
  /** The media type; default `text/plain; charset=utf-8` for a string and `application/octet-stream` for bytes. */
  contentType?: string;
  /**
   * Properties (headers). Names that begin with `weir-`, and `id`, `traceparent` and `tracestate`, are reserved for the host and cannot be
   * sent.
   */
  properties?: Record<string, string | number | boolean | undefined>;
}

/** A message: a body, its media type, and properties. */
export declare class Message {
  /** A message with a string or bytes. For JSON use `Message.json`. */
  constructor(body: string | Uint8Array | ArrayBuffer | ArrayBufferView, options?: MessageOptions);
  /** A JSON message. Use it to send an array as one message, or `null`, or JSON with properties. */
  static json(value: unknown, options?: Pick<MessageOptions, 'properties'>): Message;
  /** A text message, as `text/plain; charset=utf-8`. */
  static text(text: string, options?: Pick<MessageOptions, 'properties'>): Message;
  body: Uint8Array;
  /** `undefined` means `application/json`. */
  contentType: string | undefined;
  properties: Record<string, string>;
  /** The body as a string. Throws a `Reject` that names the byte if it is not UTF-8. */
  text(): string;
  /** The body as JSON. Throws a `Reject` that names the field, line and column if it is not JSON. */
  json<T = any>(): T;
  /** The value of a property. */
  property(name: string): string | undefined;
  /** The same message with properties added. */
  withProperties(properties: Record<string, string | number | boolean | undefined>): this;
}

/** The current message. */
export interface Received extends Message {
  /** The name of the input that it came from. */
  readonly input: string;
}

/**
 * Sends a message to an output. Messages to topics of class `flow` are sent after the handler has returned; messages to one output keep
 * their order.
 *
 * Throws a `CallError` if it can never succeed: the output does not exist, or a limit is reached. Unless you catch it, the message is rejected.
 */
export declare function send(to: string, value: Sendable): void;

/** Sends several messages to an output, in their order. */
export declare function sendAll(to: string, values: Iterable<Sendable>): void;

/** Answers the current request completely, at once. A handler that only answers returns the answer instead. */
export declare function reply(value: Sendable): void;

/**
 * Sends one part of the answer to the current request; send the last one with `reply`. It is sent immediately, and the request is no
 * longer retried.
 */
export declare function replyPart(value: Sendable): void;

export interface RequestOptions<A extends As = As> {
  /** Milliseconds to wait from now; default: the time-out in weir.toml. Capped to the handler's remaining time. */
  timeout?: number;
  /** How the parts of the answer are read; default `json`. */
  as?: A;
}

/**
 * Sends a request to a service and returns its answer, which must have one part.
 *
 * Throws a `CallError` if there is no answer in time, no service, or the answer is an error; unless you catch it, the message is retried.
 */
export declare function request<T = any, A extends As = 'json'>(to: string, value: Sendable, options?: RequestOptions<A>): Bodies<T>[A];

/** Sends a request to a service and returns all parts of its answer, in order. Throws as `request` does. */
export declare function requestParts<T = any, A extends As = 'json'>(to: string, value: Sendable, options?: RequestOptions<A>): Bodies<T>[A][];

/**
 * Sends a request without waiting for the answer, so several (at most 64) can be in flight.
 *
 * ```js
 * const language = beginRequest('language', doc.text);
 * const score = beginRequest('model', doc.text);
 * return { language: language.read(), score: score.read() };
 * ```
 */
export declare function beginRequest<T = any, A extends As = 'json'>(to: string, value: Sendable, options?: RequestOptions<A>):
Replies<Bodies<T>[A]>;

/** The answer to a request in flight. Each step of the iterator waits for the next part. Valid until the handler returns. */
export declare class Replies<T = any> implements IterableIterator<T> {
  private constructor();
  [Symbol.iterator](): this;
  /** Waits for the next part. Throws as `request` does. */
  next(): IteratorResult<T, undefined>;
  /** Waits for the answer, which must have one part. */
  read(): T;
}

/** The value of a parameter, with the type in weir.toml; `undefined` if it has none. Throws if weir.toml does not declare it. */
export declare function parameter<T = any>(name: string): T;

/** All parameters: the second argument of a handler. */
export declare function parameters<T = Parameters>(): T;

/** Configuration of the types that weir.toml declares (`config-types`). Values do not change while a message is handled. */
export declare const config: {
  /** The value of a key as a string; `undefined` if it does not exist. */
  get(type: string, key: string): string | undefined;
  /** All keys of a type, sorted. */
  keys(type: string): string[];
  /** The version in which this type last changed: while it is unchanged, so are all values of the type. */
  version(type: string): bigint;
  /**
   * The value of a key, parsed as JSON and converted by `make` if given: once per version of its type, then cached. Pass the
   * same function each time, not a new one. Do not change the value.
   */
  parsed<T = any>(type: string, key: string): T | undefined;
  parsed<T, V = any>(type: string, key: string, make: (value: V, key: string) => T): T | undefined;
  /** All values of a type by key, read like `parsed`. */
  parsedAll<T = any>(type: string): { readonly [key: string]: T };
  parsedAll<T, V = any>(type: string, make: (value: V, key: string) => T): { readonly [key: string]: T };
};

/** Where this instance runs and what it is working on. */
export declare const context: {
  /** The processor's name in the flow. */
  readonly processor: string;
  /** The id of the flow; empty if several flows share the processor. */
  readonly flow: string;
  /** The variant of the processor that this instance serves, usually the flow's id. */
  readonly variant: string;
  /** The running deployment, as `NAME@VERSION`. */
  readonly deployment: string;
  /** The outputs that have a topic in this flow. Useful only if weir.toml leaves the outputs open (`*`). */
  readonly outputs: string[];
  /** The id of the current message: the same in every attempt and redelivery. Empty in `setup`. */
  readonly messageId: string;
  /** Which attempt this is, from 1; may start again at 1 after a crash of the host. 0 in `setup`. */
  readonly attempt: number;
  /** Milliseconds left for this message; also 0 when the host is stopping. At 0 the host may end the call at any moment. */
  readonly remainingMs: number;
};

export type Level = 'trace' | 'debug' | 'info' | 'warn' | 'error';

type Write = (message: unknown, fields?: Record<string, unknown>) => void;

/**
 * The log. Processor, flow, component and message are added to each line. `console` writes to it too: `console.log` and `console.info` at
 * `info`, the others at the level of their name.
 */
export declare const log: {
  readonly trace: Write;
  readonly debug: Write;
  readonly info: Write;
  readonly warn: Write;
  readonly error: Write;
  /** Whether lines of a level are written; use it to avoid building lines that are not. */
  readonly enabled: (level: Level) => boolean;
};

export type Verdict = 'retry' | 'busy' | 'reject';

/** Thrown by a handler: why a message could not be handled. Any other exception is a `Retry` with the stack. */
export declare class Failure extends Error {
  constructor(verdict: Verdict, reason: string, delay?: number);
  readonly verdict: Verdict;
  /** Shown in the log and with the dead letter: name the field and the fix. */
  readonly reason: string;
  /** The minimum time until the next attempt, in milliseconds. */
  readonly delay: number | undefined;
}

export interface Delay {
  /** The minimum time until the next attempt, in milliseconds; default: the deployment's waits. */
  delay?: number;
}

/** Something failed that may succeed next time: retried with the deployment's attempts, then dead-lettered. */
export declare class Retry extends Failure {
  constructor(reason: string, options?: Delay);
}

/**
 * Nothing is wrong with the message, but it must be retried later, for example because of a rate limit. Counts neither as an attempt nor
 * as an error.
 */
export declare class Busy extends Failure {
  constructor(reason: string, options?: Delay);
}

/** This message can never succeed: dead-lettered at once. */
export declare class Reject extends Failure {
  constructor(reason: string);
}

export type ErrorKind = 'timeout' | 'unavailable' | 'failed' | 'invalid';

/** A call such as `send` or `request` failed. Unless it is caught, the message is retried, or rejected if the kind is `invalid`. */
export declare class CallError extends Error {
  constructor(kind: ErrorKind, reason: string);
  /**
   * `timeout`: no answer in time. `unavailable`: temporarily impossible. `failed`: the service answered with an error, which is the
   * reason. `invalid`: can never succeed.
   */
  readonly kind: ErrorKind;
  readonly reason: string;
}
