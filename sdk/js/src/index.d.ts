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
 * The function gets the body of a message as JSON, the parameters of the processor, and the message as a whole. What it returns is sent to
 * the output called `output`, or is the answer if the message is a request. Nothing leaves before the function has returned, and nothing
 * leaves if it throws. What an instance keeps in memory is a cache: the host may end it between two messages.
 */

/** How the body of a message is read: as JSON, as a string in UTF-8, as bytes, or not at all (`message`, the whole message). */
export type As = 'json' | 'text' | 'bytes' | 'message';

/** What can be sent: a `Message` as it is, bytes as `application/octet-stream`, anything else as JSON. */
export type Sendable = Message | Uint8Array | ArrayBuffer | object | string | number | boolean;

/** What a handler can return: a message, several in an array or from a generator, or nothing (`undefined` or `null`). */
export type Outcome = Sendable | null | undefined | void | Iterable<Sendable | null | undefined> | AsyncIterable<Sendable | null | undefined>;

/** The parameters, unless a type of your own says better: by the types in weir.toml a string, a number, a boolean, or what JSON says. */
export type Parameters = { readonly [name: string]: any };

/**
 * Handles one message. It may be asynchronous; the next message comes when its promise is settled.
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
  /** How bodies are read; `json` unless set. A body that cannot be read is rejected, with the field and the position. */
  as?: A;
  /**
   * Gets ready: called on each new instance before its first message, with the names of the config types that weir.toml declares, and again
   * with those that changed. Check parameters here, parse configuration, compile patterns. If it throws on a new instance, the instance gets
   * no message, and `weir status` shows why. Nothing can be sent here.
   */
  setup?: (changed: string[], parameters: Params) => void | Promise<void>;
}

/** The handlers of several inputs, by name. */
export interface Handlers {
  [input: string]: Handler<any, any> | { handle: Handler<any, any>; as?: As };
}

/** What `processor` makes. A module exports it as `handler`. */
export declare class Processor {
  private constructor();
  /** Whether it was given a `setup`. */
  readonly hasSetup: boolean;
}

/**
 * Makes a processor of a function, which handles the messages of all inputs.
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
 * Makes a processor of a function for each input.
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
  /** The media type; `text/plain; charset=utf-8` of a string and `application/octet-stream` of bytes unless set. */
  contentType?: string;
  /** Properties (headers). Names that begin with `weir-`, and `id`, `traceparent` and `tracestate`, are the host's own and cannot be sent. */
  properties?: Record<string, string | number | boolean | undefined>;
}

/** A message: a body, its media type, and properties. */
export declare class Message {
  /** A message of a string or of bytes. For JSON there is `Message.json`. */
  constructor(body: string | Uint8Array | ArrayBuffer | ArrayBufferView, options?: MessageOptions);
  /** A message of JSON. Use it to send an array as one message, or `null`, or JSON with properties. */
  static json(value: unknown, options?: Pick<MessageOptions, 'properties'>): Message;
  /** A message of a string, as `text/plain; charset=utf-8`. */
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

/** The message in hand. */
export interface Received extends Message {
  /** The name of the input that it came from. */
  readonly input: string;
}

/**
 * Sends a message to an output. It leaves when the handler has returned (to topics of class `flow`); to one output messages keep their order.
 *
 * Throws a `CallError` if it can never work: there is no such output, or a limit is reached. Unless you catch it, the message is rejected.
 */
export declare function send(to: string, value: Sendable): void;

/** Sends several messages to an output, in their order. */
export declare function sendAll(to: string, values: Iterable<Sendable>): void;

/** Answers the request in hand, in full, at once. A handler that only answers returns the answer instead. */
export declare function reply(value: Sendable): void;

/** Answers the request in hand with a part that others follow; the last one goes by `reply`. It leaves at once, and the request is not tried again. */
export declare function replyPart(value: Sendable): void;

export interface RequestOptions<A extends As = As> {
  /** Milliseconds to wait, from now on; unless set as long as weir.toml says. Never longer than the handler has left. */
  timeout?: number;
  /** How the parts of the answer are read; `json` unless set. */
  as?: A;
}

/**
 * Asks a service and returns its answer, which must have one part.
 *
 * Throws a `CallError` if there is no answer in time, no service, or an error for an answer; unless you catch it, the message is tried again.
 */
export declare function request<T = any, A extends As = 'json'>(to: string, value: Sendable, options?: RequestOptions<A>): Bodies<T>[A];

/** Asks a service and returns all parts of its answer, in their order. Throws as `request` does. */
export declare function requestParts<T = any, A extends As = 'json'>(to: string, value: Sendable, options?: RequestOptions<A>): Bodies<T>[A][];

/**
 * Sends a request and does not wait for the answer, so that several can be under way at once (at most 64).
 *
 * ```js
 * const language = beginRequest('language', doc.text);
 * const score = beginRequest('model', doc.text);
 * return { language: language.read(), score: score.read() };
 * ```
 */
export declare function beginRequest<T = any, A extends As = 'json'>(to: string, value: Sendable, options?: RequestOptions<A>): Replies<Bodies<T>[A]>;

/** The answer to a request that is under way. Each step of the iterator waits for the next part. Valid until the handler returns. */
export declare class Replies<T = any> implements IterableIterator<T> {
  private constructor();
  [Symbol.iterator](): this;
  /** Waits for the next part. Throws as `request` does. */
  next(): IteratorResult<T, undefined>;
  /** Waits for the answer, which must have one part. */
  read(): T;
}

/** The value of a parameter, of the type that weir.toml gives it; `undefined` if it has none. Throws if weir.toml does not declare it. */
export declare function parameter<T = any>(name: string): T;

/** All parameters: what a handler gets as its second argument. */
export declare function parameters<T = Parameters>(): T;

/** Configuration of the types that weir.toml declares (`config-types`). What is read does not change while a message is handled. */
export declare const config: {
  /** The value of a key as a string; `undefined` if there is none. */
  get(type: string, key: string): string | undefined;
  /** All keys of a type, sorted. */
  keys(type: string): string[];
  /** The version in which this type last changed: while it is the same, so is all that was read of the type. */
  version(type: string): bigint;
  /**
   * The value of a key, read as JSON, and by `make` if it is given: once for each version of its type, then the same value again. Pass the
   * same function each time, not a new one. Do not change the value.
   */
  parsed<T = any>(type: string, key: string): T | undefined;
  parsed<T, V = any>(type: string, key: string, make: (value: V, key: string) => T): T | undefined;
  /** All values of a type by key, read as by `parsed`. */
  parsedAll<T = any>(type: string): { readonly [key: string]: T };
  parsedAll<T, V = any>(type: string, make: (value: V, key: string) => T): { readonly [key: string]: T };
};

/** Where this instance runs and what it is working on. */
export declare const context: {
  /** The processor's name in the flow. */
  readonly processor: string;
  /** The id of the flow; empty where several flows share the processor. */
  readonly flow: string;
  /** The variant of the processor that this instance serves, usually the flow's id. */
  readonly variant: string;
  /** The deployment that runs, as `NAME@VERSION`. */
  readonly deployment: string;
  /** The outputs that have a topic in this flow. Only of interest where weir.toml leaves the outputs open (`*`). */
  readonly outputs: string[];
  /** The id of the message in hand: the same in every attempt and redelivery. Empty in `setup`. */
  readonly messageId: string;
  /** Which attempt this is, from 1; may start again at 1 after a crash of the host. 0 in `setup`. */
  readonly attempt: number;
  /** Milliseconds left for this message; 0 also when the host wants to stop. At 0 the host may end the call at any moment. */
  readonly remainingMs: number;
};

export type Level = 'trace' | 'debug' | 'info' | 'warn' | 'error';

type Write = (message: unknown, fields?: Record<string, unknown>) => void;

/**
 * The log. Lines carry processor, flow, component and message by themselves. `console` writes to it too: `console.log` and `console.info` at
 * `info`, the others at the level that they are named after.
 */
export declare const log: {
  readonly trace: Write;
  readonly debug: Write;
  readonly info: Write;
  readonly warn: Write;
  readonly error: Write;
  /** Whether lines of a level are kept, to save the work of making them. */
  readonly enabled: (level: Level) => boolean;
};

export type Verdict = 'retry' | 'busy' | 'reject';

/** Why a message could not be handled: what a handler throws. Anything else that it throws is a `Retry` with the stack. */
export declare class Failure extends Error {
  constructor(verdict: Verdict, reason: string, delay?: number);
  readonly verdict: Verdict;
  /** For the people who read it in the log and with the dead letter: name the field and the fix. */
  readonly reason: string;
  /** The least time until the next attempt, in milliseconds. */
  readonly delay: number | undefined;
}

export interface Delay {
  /** The least time until the next attempt, in milliseconds; unless set, the deployment's waits. */
  delay?: number;
}

/** Something failed that may work next time: tried again as often as the deployment says, then a dead letter. */
export declare class Retry extends Failure {
  constructor(reason: string, options?: Delay);
}

/** Nothing is wrong with the message, but something asks to be tried later, such as a rate limit. Not counted as an attempt, nor as an error. */
export declare class Busy extends Failure {
  constructor(reason: string, options?: Delay);
}

/** This message will never work: a dead letter at once. */
export declare class Reject extends Failure {
  constructor(reason: string);
}

export type ErrorKind = 'timeout' | 'unavailable' | 'failed' | 'invalid';

/** A call such as `send` or `request` failed. Unless it is caught, the message is tried again, or rejected if the kind is `invalid`. */
export declare class CallError extends Error {
  constructor(kind: ErrorKind, reason: string);
  /**
   * `timeout`: no answer in time. `unavailable`: cannot be done now. `failed`: the other side answered with an error, whose words are the
   * reason. `invalid`: can never work.
   */
  readonly kind: ErrorKind;
  readonly reason: string;
}
