// Write message processors for Weir. `index.d.ts` documents what is exported here.

export { config } from './config.js';
export { context } from './context.js';
export { Busy, CallError, Failure, Reject, Retry } from './failure.js';
export { log } from './log.js';
export { Message } from './message.js';
export { beginRequest, Replies, reply, replyPart, request, requestParts, send, sendAll } from './messaging.js';
export { parameter, parameters } from './parameters.js';
export { Processor, processor } from './processor.js';
