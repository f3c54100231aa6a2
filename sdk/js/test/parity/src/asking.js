// Requests: one, several under way, answers in parts, and those that fail.

import { beginRequest, request, requestParts } from 'weir-sdk';

import { refused } from './refusals.js';

export const asked = {
  request: () => request('model', { question: 1 }),
  requestText: () => request('model', 'q', { as: 'text', timeout: 150 }),
  requestParts: () => requestParts('model', 'q'),
  tooMany: () => request('model', 'q'),
  kinds: () => Array.from({ length: 4 }, () => refused(() => request('model', 'q'))).map(([kind, reason]) => (kind === 'failed' || kind === 'unavailable' ? [kind, reason] : [kind])),
  underWay: () => {
    const [one, other] = [beginRequest('model', 'a'), beginRequest('language', 'b')];
    const parts = [other.next(), one.next(), one.next(), other.next(), one.next()];
    return { parts: parts.map(({ value, done }) => (done ? 'end' : value)) };
  },
  overWhenBroken: () => {
    const begun = beginRequest('model', 'a');
    return { first: begun.next().value, broken: refused(() => begun.next()), after: begun.next().done };
  },
  most: () => {
    const begun = Array.from({ length: 64 }, (_, index) => beginRequest('model', index));
    const more = refused(() => beginRequest('model', 64));
    return { more, sum: begun.reduce((sum, replies) => sum + replies.read(), 0) };
  },
  uncaught: () => request('model', 'q'),
};
