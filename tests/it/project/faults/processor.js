import { config, processor, send } from 'weir-sdk';

/**
 * @typedef {object} Doc
 * @property {string} do
 * @property {{ length: number }} [missing]
 */

function again() {
  return again() + 1;
}

export const handler = processor(async (doc) => {
  switch (doc.do) {
    case 'exception':
      return doc.missing.length;
    case 'echo':
      return doc;
    case 'promise':
      await Promise.reject(new Error('in a promise'));
      break;
    case 'exit':
      globalThis.process.exit(1);
      break;
    case 'loop':
      for (;;);
    case 'type':
      return new Map([[1, 2]]);
    case 'undeclared':
      send('nowhere', doc);
      break;
    case 'config':
      return config.get('unnamed', 'key');
    case 'socket':
      return fetch('http://127.0.0.1');
    case 'thread':
      return new globalThis.Worker('x.js');
    case 'recursion':
      return again();
  }
  return { done: doc.do };
});
