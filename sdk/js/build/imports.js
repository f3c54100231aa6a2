// What a component imports, read from its bytes, and whether a host of Weir has it.

import { Fault } from './fault.js';

const COMPONENT_IMPORTS = 10;
const SERVED = /^(weir:processor\/[a-z-]+@0\.1\.\d+|wasi:(cli|clocks|filesystem|io|random|sockets)\/[a-z-]+@0\.2\.\d+)$/;

/** The names that a component imports. */
export function importsOf(component) {
  const names = [];
  let at = 8;
  const u32 = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = component[at++];
      value |= (byte & 0x7f) << shift;
      if (!(byte & 0x80)) return value >>> 0;
    }
  };
  while (at < component.length) {
    const id = component[at++];
    const end = u32() + at;
    if (id === COMPONENT_IMPORTS) {
      for (let count = u32(); count > 0; count -= 1) {
        at += 1;
        const length = u32();
        names.push(new TextDecoder().decode(component.subarray(at, at + length)));
        at += length;
        skipDescription();
      }
    }
    at = end;
  }
  return names;

  function skipDescription() {
    const kind = component[at++];
    // A core module has one byte more, and a type its bound.
    if (kind === 0 || kind === 3) at += 1;
    if (kind === 3 && component[at - 1] === 1) return;
    u32();
  }
}

/** Refuses a component that needs what no host gives. */
export function checkImports(component) {
  const strange = importsOf(component).filter((name) => !SERVED.test(name));
  if (strange.length === 0) return;
  const http = strange.filter((name) => name.startsWith('wasi:http/'));
  if (http.length > 0) {
    throw new Fault(
      `the component imports ${http.join(', ')}, which Weir does not provide: the engine was built with the features http and fetch-event; ` +
        "pass disableFeatures: ['http', 'fetch-event'] to componentize-js, or use the build of weir-sdk without --features",
    );
  }
  throw new Fault(`the component imports ${strange.join(', ')}, which Weir does not provide: remove it from the world in the WIT folder`);
}
