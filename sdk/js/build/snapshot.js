// Runs a module's initialisation and writes the module again with the state that it has afterwards: its memory as data, its globals as
// constants. What the engine does at its start (parsing and running the processor's top level) is done once, at build time.

const MEMORY = 5;
const GLOBAL = 6;
const EXPORT = 7;
const START = 8;
const DATA_COUNT = 12;
const DATA = 11;
/** In a component: a core module. */
const COMPONENT_MODULE = 1;
const KIND_GLOBAL = 3;
const MODULE_PREAMBLE = Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0);
const INITIALIZE = '_initialize';

/** Zeros between two runs of data that are cheaper to write than a further segment. */
const LEAST_GAP = 16;
/** Engines take 100,000 data segments; beyond this many, larger gaps are written too. */
const MOST_SEGMENTS = 50_000;

/** Under this prefix the copy that is run exports its globals. */
const PROBE = 'weir-probe-global-';

class Reader {
  constructor(bytes, at = 0) {
    this.bytes = bytes;
    this.at = at;
  }

  byte() {
    return this.bytes[this.at++];
  }

  u32() {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte();
      value |= (byte & 0x7f) << shift;
      if (!(byte & 0x80)) return value >>> 0;
    }
  }

  take(length) {
    const part = this.bytes.subarray(this.at, this.at + length);
    this.at += length;
    return part;
  }

  name() {
    return new TextDecoder().decode(this.take(this.u32()));
  }
}

function u32(value) {
  const bytes = [];
  do {
    const low = value & 0x7f;
    value >>>= 7;
    bytes.push(value ? low | 0x80 : low);
  } while (value);
  return bytes;
}

/** A signed LEB128 of a BigInt. */
function signed(value) {
  const bytes = [];
  for (;;) {
    const low = Number(value & 0x7fn);
    value >>= 7n;
    const isDone = (value === 0n && !(low & 0x40)) || (value === -1n && (low & 0x40));
    bytes.push(isDone ? low : low | 0x80);
    if (isDone) return bytes;
  }
}

function nameBytes(name) {
  const bytes = new TextEncoder().encode(name);
  return [...u32(bytes.length), ...bytes];
}

/** The sections of a module, in order: `{id, body}`. */
function sections(wasm) {
  const reader = new Reader(wasm, 8);
  const found = [];
  while (reader.at < wasm.length) {
    const id = reader.byte();
    found.push({ id, body: reader.take(reader.u32()) });
  }
  return found;
}

function assemble(list, preamble = MODULE_PREAMBLE) {
  const parts = [preamble];
  for (const { id, body } of list) parts.push(Uint8Array.of(id, ...u32(body.length)), body);
  const wasm = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    wasm.set(part, at);
    at += part.length;
  }
  return wasm;
}

/** The types of the globals that a module defines: `{type, isMutable}`. Only numbers are supported, as `i32.const` and the like. */
function globals(body) {
  const reader = new Reader(body);
  return Array.from({ length: reader.u32() }, () => {
    const [type, mutability] = [reader.byte(), reader.byte()];
    while (reader.byte() !== 0x0b) {
      // Constant expressions: one LEB128 or a float of fixed size, of which no byte is skipped wrongly below.
      const opcode = reader.bytes[reader.at - 1];
      if (opcode === 0x41 || opcode === 0x42 || opcode === 0x23) while (reader.byte() & 0x80);
      else if (opcode === 0x43) reader.take(4);
      else if (opcode === 0x44) reader.take(8);
      else throw new Error(`the engine has an unsupported kind of global (opcode ${opcode})`);
    }
    return { type, isMutable: mutability === 1 };
  });
}

function exportsOf(body) {
  const reader = new Reader(body);
  return Array.from({ length: reader.u32() }, () => ({ name: reader.name(), kind: reader.byte(), index: reader.u32() }));
}

function exportBody(list) {
  return Uint8Array.from([...u32(list.length), ...list.flatMap(({ name, kind, index }) => [...nameBytes(name), kind, ...u32(index)])]);
}

function importedGlobals(wasm) {
  return WebAssembly.Module.imports(wasm).filter(({ kind }) => kind === 'global').length;
}

function globalBody(types, values) {
  const bytes = [...u32(types.length)];
  types.forEach(({ type, isMutable }, i) => {
    bytes.push(type, isMutable ? 1 : 0);
    if (type === 0x7f) bytes.push(0x41, ...signed(BigInt(values[i] | 0)));
    else if (type === 0x7e) bytes.push(0x42, ...signed(BigInt.asIntN(64, values[i])));
    else if (type === 0x7d) bytes.push(0x43, ...new Uint8Array(Float32Array.of(values[i]).buffer));
    else if (type === 0x7c) bytes.push(0x44, ...new Uint8Array(Float64Array.of(values[i]).buffer));
    else throw new Error(`the engine has a global of type ${type}, which is not supported`);
    bytes.push(0x0b);
  });
  return Uint8Array.from(bytes);
}

function memoryBody(body, pages) {
  const reader = new Reader(body);
  if (reader.u32() !== 1) throw new Error('the engine has more than one memory, which is not supported');
  const flags = reader.byte();
  reader.u32();
  return Uint8Array.from([1, flags, ...u32(pages), ...(flags & 1 ? u32(reader.u32()) : [])]);
}

/** The runs of a memory that are not zero, joined over gaps that are smaller than `gap`. */
function runs(memory, gap) {
  const found = [];
  const words = new BigUint64Array(memory.buffer, memory.byteOffset, memory.length >> 3);
  let start = -1;
  let end = -1;
  for (let word = 0; word < words.length; word += 1) {
    if (words[word] === 0n) continue;
    const at = word << 3;
    if (start >= 0 && at - end >= gap) {
      found.push([start, end]);
      start = at;
    } else if (start < 0) {
      start = at;
    }
    end = at + 8;
  }
  if (start >= 0) found.push([start, end]);
  return found;
}

function dataBody(memory) {
  let gap = LEAST_GAP;
  let segments = runs(memory, gap);
  while (segments.length > MOST_SEGMENTS) {
    gap *= 2;
    segments = runs(memory, gap);
  }
  const parts = [Uint8Array.from(u32(segments.length))];
  for (const [start, end] of segments) {
    parts.push(Uint8Array.of(0, 0x41, ...signed(BigInt(start)), 0x0b, ...u32(end - start)), memory.subarray(start, end));
  }
  return { count: segments.length, body: Buffer.concat(parts) };
}

/** A module without the exports of its initialisation: nothing calls them in the component. */
export function withoutInit(wasm, init) {
  const list = sections(wasm);
  return assemble(list.map(({ id, body }) => ({ id, body: id === EXPORT ? exportBody(exportsOf(body).filter(({ name }) => name !== init && name !== INITIALIZE)) : body })));
}

/**
 * Runs `_initialize`, if there is one, and `init` of a module. Gives back the instance, and its state as the sections that hold it.
 * `system` is a `BuildSystem`.
 */
export function snapshot(wasm, init, system) {
  const list = sections(wasm);
  const body = (id) => list.find((section) => section.id === id)?.body;
  if (body(START)) throw new Error('the engine has a start function, which is not supported');
  const types = globals(body(GLOBAL));

  const probes = types.map((_, index) => ({ name: PROBE + index, kind: KIND_GLOBAL, index }));
  const exported = exportBody([...exportsOf(body(EXPORT)), ...probes]);
  const module = new WebAssembly.Module(assemble(list.map((section) => (section.id === EXPORT ? { id: EXPORT, body: exported } : section))));
  if (importedGlobals(module)) throw new Error('the engine imports globals, which is not supported');
  const instance = new WebAssembly.Instance(module, imports(module, system));
  system.memory = instance.exports.memory;
  instance.exports[INITIALIZE]?.();
  instance.exports[init]();

  const memory = new Uint8Array(instance.exports.memory.buffer).slice();
  const data = dataBody(memory);
  const state = {
    [MEMORY]: memoryBody(body(MEMORY), memory.length >> 16),
    [GLOBAL]: globalBody(types, probes.map(({ name }) => instance.exports[name].value)),
    [DATA_COUNT]: Uint8Array.from(u32(data.count)),
    [DATA]: data.body,
  };
  return { instance, state };
}

/** A component whose largest core module is given a state that `snapshot` took. */
export function withState(component, state) {
  const list = sections(component);
  const modules = list.filter(({ id }) => id === COMPONENT_MODULE);
  const main = modules.reduce((most, module) => (module.body.length > most.body.length ? module : most));
  const patched = assemble(sections(main.body).map(({ id, body }) => ({ id, body: state[id] ?? body })));
  return assemble(list.map((section) => (section === main ? { id: COMPONENT_MODULE, body: patched } : section)), component.subarray(0, 8));
}

/** All imports of a module: WASI by the system, the rest functions that no build calls. */
function imports(module, system) {
  const wasi = system.imports();
  const object = {};
  for (const { module: from, name } of WebAssembly.Module.imports(module)) {
    object[from] ??= {};
    object[from][name] = from === 'wasi_snapshot_preview1' ? wasi[name] : system.outside(from, name);
  }
  return object;
}
