// The host that a kit plays: the functions of the contract, with the real host's checks, in its order and its words.

import { names, shown } from './bounds.js';
import { isHostsOwn, MAX_ANSWER_BYTES, MAX_BEGUN_COUNT, MAX_MESSAGE_BYTES, propertiesProblem, sizeOf, sizeProblem } from './limits.js';

const OUTSIDE = 'messages can be sent only within `handle`';

/** What ends a call in a host, whatever the handler does about it. */
export class Trap extends Error {}

/** A refusal, as the bindings throw it. */
function refusal(kind, reason) {
  return Object.assign(new Error(reason), { payload: { kind, reason } });
}

const invalid = (reason) => refusal('invalid', reason);

/** A message as those receive it whom it is sent to: JSON is not spelled out, and of a property that is there twice the last one counts. */
export function asReceived({ body, contentType, properties }) {
  const unique = [...new Map(properties)];
  return { body: body.slice(), contentType: contentType === 'application/json' ? undefined : contentType, properties: unique };
}

/** A message of the test as a host shows it to a component. */
export function shownToComponent(message) {
  const received = asReceived(message);
  return { ...received, properties: received.properties.filter(([name]) => !isHostsOwn(name)) };
}

/** The interfaces of the contract for an instance of a kit, which keeps the state. */
export function fakeHost(kit) {
  return { context: contextOf(kit), config: configOf(kit), log: logOf(kit), messaging: messagingOf(kit) };
}

function contextOf(kit) {
  const name = () => kit.descriptor.name ?? 'processor';
  return {
    processor: name,
    flow: () => kit.flowId,
    variant: () => kit.flowId,
    deployment: () => `${name()}@${kit.descriptor.version ?? '0.0.0'}`,
    parameter: (parameter) => kit.parameters.get(parameter),
    parameters: () => [...kit.parameters],
    outputs: () => kit.outputs.filter(({ hasTopic }) => hasTopic).map((output) => output.name),
    messageId: () => kit.call.messageId,
    attempt: () => kit.call.attempt,
    remainingMs: () => kit.remainingMs,
  };
}

function logOf(kit) {
  return {
    enabled: () => true,
    write: (level, message, fields) => void kit.call.log.push({ level, message, fields: Object.fromEntries(fields) }),
  };
}

function configOf(kit) {
  /** To read what is not declared is a trap, since it is a bug that the author must see. */
  const declared = (type) => {
    const known = kit.descriptor.configTypes.map((one) => one.name);
    if (known.includes(type)) return kit.seenConfig.get(type) ?? { version: 0n, values: new Map() };
    kit.trap = new Trap(`config type \`${shown(type)}\` is not declared: add it to \`config-types\` of the descriptor (declared: ${names(known)})`);
    throw kit.trap;
  };
  return {
    get: (type, key) => declared(type).values.get(key),
    keys: (type) => [...declared(type).values.keys()].sort(compareText),
    version: (type) => declared(type).version,
  };
}

function compareText(a, b) {
  return a < b ? -1 : Number(a > b);
}

function messagingOf(kit) {
  const inHandle = () => {
    if (kit.call.phase !== 'handle') throw invalid(OUTSIDE);
  };
  const count = (bytes) => {
    const { call, limits } = kit;
    if (call.sendsCount >= limits['sends-count']) throw invalid(`one call may send ${limits['sends-count']} messages (raise it: weir deploy --limit sends-count=N)`);
    if (call.sendsBytes + bytes > limits['sends-bytes']) throw invalid(`one call may send ${limits['sends-bytes']} bytes in total (raise it: weir deploy --limit sends-bytes=N)`);
    call.sendsCount += 1;
    call.sendsBytes += bytes;
  };
  const refuse = (problem) => {
    if (problem) throw invalid(problem);
  };
  const prepare = (message, bodyLimit) => {
    refuse(propertiesProblem(message));
    count(sizeOf(message));
    refuse(sizeProblem(message, bodyLimit));
  };

  const host = {
    send(to, message) {
      inHandle();
      const output = kit.outputs.find(({ name }) => name === to);
      if (!output) throw invalid(`output \`${shown(to)}\` does not exist; must be one of: ${names(kit.outputs.map(({ name }) => name))}`);
      prepare(message, MAX_MESSAGE_BYTES);
      if (output.hasTopic) kit.call.sent.push({ to, message: asReceived(message) });
    },

    reply(message, part) {
      inHandle();
      const { call } = kit;
      if (call.answer === 'ended') throw invalid('the request was answered completely: nothing may follow the part marked `last`');
      if (call.answer === 'none') throw invalid('the current message is not a request: only an input with `reply` in the descriptor can be answered');
      prepare(message, MAX_ANSWER_BYTES);
      call.replies.push(asReceived(message));
      if (part === 'last') call.answer = 'ended';
    },

    request(to, message, timeoutMs) {
      const call = host.beginRequest(to, message, timeoutMs);
      const parts = [];
      let bytes = 0;
      for (let part = host.nextReply(call); part; part = host.nextReply(call)) {
        bytes += part.body.length;
        if (bytes > MAX_MESSAGE_BYTES) throw invalid(`the answer has more than ${MAX_MESSAGE_BYTES} bytes: read its parts one by one`);
        parts.push(part);
      }
      return parts;
    },

    beginRequest(to, message, timeoutMs) {
      inHandle();
      refuse(propertiesProblem(message));
      const known = kit.descriptor.requests.map(({ name }) => name);
      if (!known.includes(to)) throw invalid(`request \`${shown(to)}\` does not exist; must be one of: ${names(known)}`);
      const { begun } = kit.call;
      if (begun.filter(({ state }) => state === 'open').length >= MAX_BEGUN_COUNT) {
        throw invalid(`${MAX_BEGUN_COUNT} requests are in flight, the maximum: read the answer of one first`);
      }
      count(message.body.length);
      refuse(sizeProblem(message, MAX_MESSAGE_BYTES));
      kit.call.requests.push({ to, message: asReceived(message) });
      const { parts, error } = kit.ask(to, asReceived(message), timeoutMs);
      // A request that cannot be sent fails at once, not with the response.
      if (parts.length === 0 && ['unavailable', 'invalid'].includes(error?.kind)) throw refusal(error.kind, error.reason);
      begun.push({ state: 'open', parts, error });
      return begun.length - 1;
    },

    nextReply(call) {
      inHandle();
      const slot = kit.call.begun[call];
      if (!slot) throw invalid(`request ${call} does not exist: numbers are valid until \`handle\` returns`);
      if (slot.state === 'complete') return undefined;
      if (slot.state === 'failed') throw invalid(`request ${call} ended with an error, which was already returned`);
      if (slot.parts.length > 0) return slot.parts.shift();
      slot.state = slot.error ? 'failed' : 'complete';
      if (slot.error) throw refusal(slot.error.kind, slot.error.reason);
      return undefined;
    },
  };
  return host;
}
