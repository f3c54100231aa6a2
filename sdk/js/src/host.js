// What the SDK stands on: the functions of the contract (`weir:processor`), and what one instance keeps. In a component there is one
// instance for ever; in a test the kit says which one is at work.

let find = () => undefined;

/**
 * Says how the instance at work is found: `undefined` where there is none.
 *
 * An instance has `host` (the interfaces `context`, `messaging`, `config` and `log` of the contract), `declared` (what the descriptor
 * declares, as `readDeclared` makes it) and `kept` (a Map).
 */
export function connect(finder) {
  find = finder;
}

/** The instance at work, or `undefined`. */
export function atWork() {
  return find();
}

/** The instance at work. `what` names the call, for the error where there is none. */
export function instance(what) {
  const found = find();
  if (found) return found;
  throw new Error(`\`${what}\` works only inside a handler or \`setup\`: no host is available at the top level of a module or after the handler has returned`);
}

/** What a descriptor declares, as far as the SDK needs it: `undefined` if it is not known. */
export function readDeclared(descriptor) {
  if (!descriptor) return undefined;
  const named = (list) => (list ?? []).map((item) => (typeof item === 'string' ? { name: item } : item));
  return {
    inputs: Object.fromEntries(named(descriptor.consumers).map(({ name, reply }) => [name, reply !== undefined])),
    parameters: Object.fromEntries(named(descriptor.parameters).map(({ name, type }) => [name, type ?? 'string'])),
  };
}
