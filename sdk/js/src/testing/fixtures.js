// Fixtures in the kit: the files that `weir test` runs against the component in a real host.

import { AssertionError } from 'node:assert';
import { readFileSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Message } from '../message.js';
import { Answer } from './answer.js';
import { names, shown } from './bounds.js';
import { differences } from './comparing.js';
import { Trap } from './fake_host.js';
import { MAX_MESSAGE_BYTES } from './limits.js';

const BODIES = ['json', 'text', 'base64', 'file'];
const MESSAGE = [...BODIES, 'content-type', 'properties'];
const KEYS = {
  fixture: ['$schema', 'description', 'parameters', 'config', 'answers', 'outputs', 'limits', 'setup-failure', 'messages'],
  step: ['input', 'message', 'attempt', 'expected'],
  expected: ['outputs', 'replies', 'requests', 'failure', 'log'],
  failure: ['verdict', 'reason', 'delay-ms'],
  answer: ['parts', 'error', 'reason'],
};
const NO_LIMITS = '`limits` has no effect in a test kit, which has neither a memory limit nor a clock: run this fixture by `weir test`';

export async function runFixture(kit, path) {
  const file = path instanceof URL ? fileURLToPath(path) : path;
  await new Run(kit, file).run();
}

class Run {
  #kit;
  #file;
  #folder;
  /** Requests for which the fixture had no answer left. */
  #unanswered = [];

  constructor(kit, file) {
    [this.#kit, this.#file, this.#folder] = [kit, basename(file), dirname(file)];
    this.fixture = this.#within('', () => known(JSON.parse(readFileSync(file, 'utf8')), KEYS.fixture));
  }

  async run() {
    const { messages = [], 'setup-failure': refusal } = this.fixture;
    this.#within('', () => this.#prepare());
    if (refusal !== undefined) return this.#checkSetup(refusal);
    if (messages.length === 0) throw new Error(`${this.#file}: \`messages\` is empty: add a message, or \`setup-failure\` with what the setup must refuse`);
    for (const [index, step] of messages.entries()) await this.#step(`message ${index + 1}`, step);
  }

  /** Gives the kit what the fixture says of its surroundings. */
  #prepare() {
    const { parameters = {}, config = {}, answers = {}, outputs = [], limits } = this.fixture;
    if (limits !== undefined) throw new Error(NO_LIMITS);
    for (const [name, value] of Object.entries(parameters)) this.#kit.parameter(name, value);
    for (const [type, values] of Object.entries(config)) for (const [key, value] of Object.entries(values)) this.#kit.config(type, key, value);
    for (const output of outputs) this.#kit.output(output);
    for (const [name, list] of Object.entries(answers)) {
      const left = list.map((answer) => this.#answer(answer));
      this.#kit.answer(name, (_request, asked) => left.shift()?.(name, asked) ?? this.#noAnswer(name));
    }
  }

  async #checkSetup(refusal) {
    const said = await this.#kit.configure().then(
      () => undefined,
      (error) => error.message,
    );
    if (said !== refusal) this.#fail('the setup', [{ place: 'setup-failure', expected: refusal, found: said ?? 'no failure' }]);
  }

  async #step(what, step) {
    const { input, message, attempt = 1, expected } = this.#within(what, () => known(step, KEYS.step));
    if (expected === undefined) throw new Error(`${this.#file}, ${what}: \`expected\` is missing: \`weir test --update\` writes it`);
    const [wanted, body] = this.#within(what, () => [this.#wanted(expected), this.#message(message).message]);
    const handled = await this.#handled(input ?? this.#within(what, () => this.#onlyInput()), body, attempt);
    const found = differences(wanted, handled);
    found.push(...this.#unanswered.splice(0).map((name) => ({ place: `answers.${name}`, expected: 'an answer for each request', found: 'one request more: add an answer' })));
    if (found.length > 0) this.#fail(what, found);
  }

  async #handled(input, body, attempt) {
    try {
      return await this.#kit.attempt(attempt).handle(input, body);
    } catch (trap) {
      if (!(trap instanceof Trap)) throw trap;
      return { failure: { verdict: 'trap', reason: trap.message }, sent: [], requests: [], log: [], replies: () => [] };
    }
  }

  #onlyInput() {
    const { inputs } = this.#kit;
    if (inputs.length === 1) return inputs[0];
    throw new Error(`\`input\` is missing; must be one of: ${names(inputs)}`);
  }

  #noAnswer(name) {
    this.#unanswered.push(name);
    return Answer.error('unavailable', `the broker is not available: no answer is given for this request \`${name}\``);
  }

  /** An answer of the fixture: what makes it of the request, in the words of a host. */
  #answer(document) {
    const { parts, error, reason = 'the fixture says so' } = known(document, KEYS.answer);
    if (parts) {
      const answer = Answer.parts(parts.map((part) => this.#message(part).message));
      return () => answer;
    }
    const words = {
      timeout: (_name, { topic, timeoutMs }) => `no answer from request:tg:${topic}:test within ${timeoutMs} ms`,
      unavailable: () => `the broker is not available: ${reason}`,
      failed: () => reason,
      invalid: (name) => `the request \`${name}\` has ${MAX_MESSAGE_BYTES + 1} bytes; the limit is ${MAX_MESSAGE_BYTES}`,
    };
    if (!Object.hasOwn(words, error)) throw new Error(`an answer has either \`parts\`, or \`error\`, one of: ${names(Object.keys(words))}`);
    return (...asked) => Answer.error(error, words[error](...asked));
  }

  /** What is expected, with the messages of the fixture read. */
  #wanted(expected) {
    const { outputs = {}, replies, requests, failure, log } = known(expected, KEYS.expected);
    if (failure) known(failure, KEYS.failure);
    const read = (list) => list?.map((document) => this.#message(document));
    return {
      outputs: new Map(Object.entries(outputs).map(([name, list]) => [name, read(list)])),
      replies: read(replies),
      requests: requests?.map(({ to, ...document }) => ({ to, ...this.#message(document) })),
      failure,
      log,
    };
  }

  /** A message as the fixture writes it, and as a processor gets it: without a content type it has the usual one of its content. */
  #message(document) {
    const given = BODIES.filter((key) => Object.hasOwn(known(document, MESSAGE), key));
    if (given.length !== 1) throw new Error(`a message must have exactly one of ${BODIES.join(', ')}`);
    const { [given[0]]: value, properties, 'content-type': contentType } = document;
    const [body, usual] = this.#body(given[0], value);
    const message = new Message(body, { properties });
    message.contentType = contentType ?? usual;
    return { document, message };
  }

  #body(kind, value) {
    if (kind === 'json') return [JSON.stringify(value), undefined];
    if (kind === 'text') return [value, 'text/plain'];
    if (kind === 'base64') return [Buffer.from(value, 'base64'), 'application/octet-stream'];
    const usual = { '.json': undefined, '.txt': 'text/plain', '.md': 'text/plain' };
    const ending = extname(value);
    return [readFileSync(join(this.#folder, value)), Object.hasOwn(usual, ending) ? usual[ending] : 'application/octet-stream'];
  }

  #fail(what, found) {
    const lines = found.map(({ place, expected, found: had }) => `  ${place}\n    expected ${expected}\n    found    ${had}`);
    throw new AssertionError({ message: `${this.#file}, ${what}:\n${lines.join('\n')}` });
  }

  /** Names the file in what is wrong with it. */
  #within(what, read) {
    try {
      return read();
    } catch (error) {
      throw new Error(`${this.#file}${what && `, ${what}`}: ${error.message}`, { cause: error });
    }
  }
}

function known(document, keys) {
  if (typeof document !== 'object' || document === null || Array.isArray(document)) throw new Error(`an object with ${names(keys)} is expected`);
  const unknown = Object.keys(document).find((key) => !keys.includes(key));
  if (unknown !== undefined) throw new Error(`unknown key \`${shown(unknown)}\`; must be one of: ${names(keys)}`);
  return document;
}
