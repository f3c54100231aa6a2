// What a host refuses, and its words.

import { beginRequest, CallError, Message, reply, replyPart, request, send } from 'weir-sdk';

/** What a call is refused with. */
export function refused(call) {
  try {
    call();
  } catch (error) {
    if (!(error instanceof CallError)) return [error.name, error.message];
    // A host counts the name of the deployment, too, which the kit does not know.
    return [error.kind, error.reason.replace(/(properties of the message has) \d+/, '$1 N')];
  }
  return 'taken';
}

const withProperties = (properties) => Message.json(1, { properties });
const many = Object.fromEntries(Array.from({ length: 257 }, (_, index) => [`p${index}`, '']));

export function refusals() {
  const calls = [
    () => send('outptu', 1),
    () => send(`a\tb'${'x'.repeat(100)}`, 1),
    () => send(undefined, 1),
    () => send('output', withProperties({ 'weir-id': '1' })),
    () => send('output', withProperties({ traceparent: '1' })),
    () => send('output', withProperties(many)),
    () => send('output', withProperties({ ['n'.repeat(129)]: '' })),
    () => send('output', withProperties({ n: 'v'.repeat(32 << 10) })),
    () => send('output', new Uint8Array((4 << 20) + 1)),
    () => send('output', Promise.resolve(1)),
    () => request('modle', 1),
    () => beginRequest('model', withProperties({ id: '1' })),
    () => request('model', new Uint8Array((4 << 20) + 1)),
    () => reply(1),
    () => replyPart(1),
  ];
  return calls.map(refused);
}
