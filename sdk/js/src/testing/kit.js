// The kit: one instance of a processor, with the settings of a flow and a deployment.

import { AsyncLocalStorage } from 'node:async_hooks';
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';

import { findProject } from '../../project/descriptor.js';
import { logConsole } from '../console.js';
import { connect, readDeclared } from '../host.js';
import { kindOf, lowered } from '../message.js';
import { Processor } from '../processor.js';
import { addProject, setSdkFolder } from '../stack.js';
import { Answer } from './answer.js';
import { names, shown } from './bounds.js';
import { Descriptor, parameterProblem } from './descriptor.js';
import { fakeHost, shownToComponent } from './fake_host.js';
import { Handled } from './handled.js';
import { DEFAULT_LIMITS, MAX_MESSAGE_BYTES } from './limits.js';

/** How long an answer may take unless weir.toml says. */
const A_MINUTE_MS = 60_000;

/** The instance at work: one for each chain of asynchronous calls, so that tests can run side by side. */
const working = new AsyncLocalStorage();
connect(() => {
  const found = working.getStore();
  return found?.isAtWork ? found.instance : undefined;
});
logConsole(globalThis.console, { echo: true });
setSdkFolder(new URL('..', import.meta.url).href);

export function kit(handler, { descriptor } = {}) {
  return new Kit(handler, descriptor);
}

export class Kit {
  #processor;
  #instance;
  #config = new Map();
  #configVersion = 0n;
  /** The version of the configuration that the instance was last set up with, or refused; `undefined` before it began. */
  #seen;
  #attempt = 1;
  #messagesCount = 0;

  constructor(processor, descriptor) {
    if (!(processor instanceof Processor)) throw new TypeError(`\`kit\` takes what \`processor\` made, not ${kindOf(processor)}`);
    const written = readDescriptor(descriptor);
    const state = {
      descriptor: new Descriptor(written),
      flowId: 'test',
      parameters: new Map(),
      limits: { ...DEFAULT_LIMITS },
      remainingMs: 60_000,
      services: new Map(),
      seenConfig: new Map(),
      call: newCall({ phase: 'setup' }),
      trap: undefined,
    };
    state.outputs = state.descriptor.producers.filter(({ name }) => name !== '*').map(({ name }) => ({ name, hasTopic: true }));
    state.ask = (name, request, timeoutMs) => this.#ask(name, request, timeoutMs);
    const declared = readDeclared(written);
    processor.check(declared);
    this.#processor = processor;
    this.#instance = { state, isAtWork: false, instance: { host: fakeHost(state), declared, kept: new Map() } };
  }

  /**
   * Runs messages by a component instead of the module: for the SDK's own tests. `instantiate` makes an instance of it with a host.
   *
   * @internal
   */
  async runIn(instantiate) {
    const { handler, setup } = await instantiate(this.#instance.instance.host);
    const unwrapped = (error) => error?.payload ?? error;
    const call = (run) => async (...args) => {
      try {
        await run(...args);
      } catch (error) {
        throw unwrapped(error);
      }
    };
    this.#processor = { handle: call(handler.handle), configure: call(setup.configure) };
  }

  get inputs() {
    return this.#state.descriptor.consumers.map(({ name }) => name);
  }

  get #state() {
    return this.#instance.state;
  }

  parameter(name, value) {
    if (this.#seen !== undefined) throw new Error(`parameter \`${name}\` cannot change in a running instance: create another kit`);
    this.#state.parameters.set(name, typeof value === 'object' ? JSON.stringify(value) : String(value));
    return this;
  }

  config(type, key, value) {
    this.#checkConfigType(type);
    const text = typeof value === 'string' ? value : JSON.stringify(value);
    const old = this.#config.get(type)?.values;
    if (old?.get(key) !== text) this.#changeConfig(type, new Map(old).set(key, text));
    return this;
  }

  removeConfig(type, key) {
    this.#checkConfigType(type);
    const values = new Map(this.#config.get(type)?.values);
    if (values.delete(key)) this.#changeConfig(type, values);
    return this;
  }

  #changeConfig(type, values) {
    this.#configVersion += 1n;
    this.#config = new Map(this.#config).set(type, { version: this.#configVersion, values });
  }

  #checkConfigType(type) {
    const known = this.#state.descriptor.configTypes.map(({ name }) => name);
    if (known.includes(type)) return;
    throw new Error(`config type \`${shown(type)}\` is not declared: add it to \`config-types\` of the descriptor (declared: ${names(known)})`);
  }

  answer(request, ...services) {
    const known = this.#state.descriptor.requests.map(({ name }) => name);
    if (!known.includes(request)) throw new Error(`request \`${shown(request)}\` does not exist; must be one of: ${names(known)}`);
    this.#state.services.set(request, services);
    return this;
  }

  /** Several answers are given in turn, the last one for ever. */
  #ask(name, request, timeoutMs) {
    const services = this.#state.services.get(name);
    if (!services?.length) {
      this.#state.trap = new Error(`the handler sends a request to \`${name}\`, but the test has no answer: add kit.answer('${name}', (request) => ...)`);
      throw this.#state.trap;
    }
    const service = services.length > 1 ? services.shift() : services[0];
    if (typeof service !== 'function') return Answer.of(service);
    const message = new Handled({ outputs: [], sent: [], replies: [], requests: [{ to: name, message: request }], log: [] }).requests[0].message;
    const { request: topic, 'timeout-ms': usualMs = A_MINUTE_MS } = this.#state.descriptor.requests.find((declared) => declared.name === name);
    return Answer.of(working.run(undefined, () => service(message, { topic, timeoutMs: timeoutMs ?? usualMs })));
  }

  attempt(number) {
    this.#attempt = Math.max(1, number);
    return this;
  }

  timeLeft(ms) {
    this.#state.remainingMs = ms;
    return this;
  }

  flow(id) {
    this.#state.flowId = id;
    return this;
  }

  output(name) {
    if (!this.#state.descriptor.hasOpenOutputs) throw new Error(`output \`${name}\` cannot be added: the descriptor has no producer \`*\``);
    this.#state.outputs.push({ name, hasTopic: true });
    return this;
  }

  withoutOutput(name) {
    const isOptional = this.#state.descriptor.producers.some((producer) => producer.name === name && producer.optional);
    if (!isOptional) throw new Error(`output \`${name}\` must have a topic in every flow: it is not among the producers as "optional": true`);
    for (const output of this.#state.outputs) if (output.name === name) output.hasTopic = false;
    return this;
  }

  limit(name, value) {
    const { limits } = this.#state;
    if (!Object.hasOwn(limits, name)) throw new Error(`limit \`${name}\` does not exist in a test; must be one of: ${Object.keys(limits).join(', ')}`);
    limits[name] = value;
    return this;
  }

  /** Checks parameters: all faults at once. */
  #fit() {
    const { descriptor, parameters } = this.#state;
    const faults = [];
    for (const parameter of descriptor.parameters) {
      const { name, default: value, required } = parameter;
      if (parameters.has(name)) {
        const problem = parameterProblem(parameter, parameters.get(name));
        if (problem) faults.push(`parameter \`${name}\`: ${problem}`);
      } else if (value !== undefined) {
        parameters.set(name, value);
      } else if (required) {
        faults.push(`parameter \`${name}\` is required and not set: set it in the processor's \`parameters\``);
      }
    }
    return faults.join('; ') || undefined;
  }

  async configure() {
    const reason = await this.#configure();
    if (reason !== undefined) throw new Error(reason);
  }

  /** What the processor refuses, or `undefined`. */
  async #configure() {
    if (this.#seen === this.#configVersion) return undefined;
    const isNew = this.#seen === undefined;
    const [state, wanted, old] = [this.#state, this.#config, this.#state.seenConfig];
    const fault = isNew ? this.#fit() : undefined;
    if (fault) return fault;
    state.seenConfig = wanted;
    const version = (config, type) => config.get(type)?.version ?? 0n;
    const types = state.descriptor.configTypes.map(({ name }) => name);
    const changed = types.filter((type) => isNew || version(old, type) !== version(wanted, type));
    const refusal = isNew || changed.length > 0 ? await this.#atWork(() => this.#processor.configure(changed)) : undefined;
    // What the instance made of the old state and what it reads must not differ.
    if (refusal !== undefined) state.seenConfig = old;
    if (refusal === undefined || !isNew) this.#seen = this.#configVersion;
    return refusal;
  }

  /** Lets the instance work. Gives back what it refuses by throwing. */
  async #atWork(work) {
    this.#instance.isAtWork = true;
    try {
      await working.run(this.#instance, work);
      return undefined;
    } catch (refusal) {
      return refusal;
    } finally {
      this.#instance.isAtWork = false;
      if (this.#state.trap) throw this.#state.trap;
    }
  }

  async handle(input, value) {
    const message = shownToComponent(lowered(value));
    const size = message.body.length;
    if (size > MAX_MESSAGE_BYTES) throw new Error(`the body has ${size} bytes; the limit is ${MAX_MESSAGE_BYTES}: such a message never reaches a handler`);
    const state = this.#state;
    if (state.trap) throw new Error('the instance ended with a trap, so a host would not use it again: create another kit');
    const { reply } = state.descriptor.input(input);
    const isNew = this.#seen === undefined;
    state.call = newCall({ phase: 'setup' });
    const refusal = await this.#configure();
    if (refusal !== undefined) {
      if (isNew) throw new Error(`the processor failed to start: ${refusal}`);
      state.call.log.push({ level: 'warn', message: 'component setup failed', fields: { error: refusal } });
    }
    if (this.#attempt === 1 || this.#messagesCount === 0) this.#messagesCount += 1;
    const messageId = this.#messagesCount.toString(16).padStart(32, '0');
    state.call = newCall({ phase: 'handle', messageId, attempt: this.#attempt, answer: reply === undefined ? 'none' : 'open', log: state.call.log });
    const failure = await this.#atWork(() => this.#processor.handle(input, message));
    const { call } = state;
    state.call = newCall({ phase: 'setup' });
    return new Handled({
      failure,
      outputs: state.outputs.map(({ name }) => name),
      sent: failure ? [] : call.sent,
      replies: call.replies,
      isAnswered: call.answer === 'ended',
      requests: call.requests,
      log: call.log,
    });
  }
}

function newCall(given) {
  return { messageId: '', attempt: 0, answer: 'none', sent: [], replies: [], requests: [], log: [], sendsCount: 0, sendsBytes: 0, begun: [], ...given };
}

function readDescriptor(given) {
  if (given !== undefined && typeof given !== 'string') return given;
  const { folder, descriptor } = given === undefined ? findProject(process.cwd()) : { folder: dirname(resolve(given)), descriptor: JSON.parse(readFileSync(given, 'utf8')) };
  addProject(folder);
  return descriptor;
}
