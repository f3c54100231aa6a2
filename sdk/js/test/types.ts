// Compiled by guide.test.js: what the types allow, and, marked by @ts-expect-error, what they do not.

import { beginRequest, Busy, config, context, log, Message, parameter, processor, Reject, Replies, request, requestParts, send, type Received } from 'weir-sdk';
import { Answer, kit } from 'weir-sdk/testing';

interface Doc {
  id: string;
  text: string;
}

interface Params {
  size: number;
  prefix?: string;
}

export const one = processor<Doc, Params>(({ id, text }, { size, prefix = '' }, message) => {
  const input: string = message.input;
  // @ts-expect-error: there is no such field.
  message.inptu;
  // @ts-expect-error: `size` is a number.
  size.trim();
  if (text === '') throw new Reject('empty');
  if (text.length > size) throw new Busy('full', { delay: 5 });
  send('output', { id, input, prefix });
  // @ts-expect-error: nothing is not a message.
  send('output', undefined);
  return [{ id }, Message.json([1]), null, 'x'];
});

export const asynchronous = processor<Doc>(async ({ text }) => {
  const answer = request<{ score: number }>('model', text);
  const words: string = request('model', text, { as: 'text' });
  const parts: Doc[] = requestParts<Doc>('model', text, { timeout: 5 });
  const replies: Replies<Doc> = beginRequest<Doc>('model', text);
  for (const part of replies) log.info(part.id, { parts: parts.length, words });
  return answer.score;
});

export const generated = processor<string>(function* (text) {
  yield* text;
});

export const ready = processor<Doc, Params>(({ id }) => ({ id }), { setup: (_changed, { size }) => void size.toFixed() });

export const text = processor((body: string) => body.length, { as: 'text' });
export const bytes = processor((body: Uint8Array) => body, { as: 'bytes' });
export const whole = processor((body: Received) => body.withProperties({ input: body.input }), { as: 'message' });

// @ts-expect-error: with `as: 'text'` a body is a string.
export const wrong = processor((body: Uint8Array) => body, { as: 'text' });
// @ts-expect-error: there is no such way to read a body.
export const unknown = processor(() => {}, { as: 'xml' });

export const several = processor({ input: (doc: Doc) => doc.id, control: { as: 'text', handle: (command: string) => log.info(command) } }, {
  setup: (changed, parameters) => {
    if (changed.includes('rule')) config.parsed<RegExp, string>('rule', 'a', (value) => new RegExp(value));
    log.debug(`${context.flow} ${parameter<number>('size')} ${parameters.size}`);
  },
});

export async function tested(): Promise<void> {
  const handled = await kit(one).parameter('size', 5).answer('model', Answer.error('timeout'), (asked) => asked.text()).handle('input', { id: 'a' });
  const verdict: 'retry' | 'busy' | 'reject' | undefined = handled.failure?.verdict;
  log.info(handled.outputs('output')[0]?.text() ?? verdict);
}
