// Where this instance runs and what it is working on.

import { instance } from './host.js';

function of(name) {
  return instance(`context.${name}`).host.context[name]();
}

export const context = Object.freeze({
  get processor() {
    return of('processor');
  },
  get flow() {
    return of('flow');
  },
  get variant() {
    return of('variant');
  },
  get deployment() {
    return of('deployment');
  },
  get outputs() {
    return of('outputs');
  },
  get messageId() {
    return of('messageId');
  },
  get attempt() {
    return of('attempt');
  },
  get remainingMs() {
    return of('remainingMs');
  },
});
