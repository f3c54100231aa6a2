// The WASI preview 1 calls that the engine makes while it is initialised: a read-only file system in memory, stdin, and clocks and random
// numbers that are the same in every build, so that the same sources give the same component.

const OK = 0;
const BADF = 8;
const NOENT = 44;
const NOSYS = 52;
const DIRECTORY = 3;
const REGULAR_FILE = 4;
const CHARACTER_DEVICE = 2;
const ROOT = 3;

/** 2025-01-01T00:00:00Z in nanoseconds: what the clock shows during the build. */
const BUILD_TIME_NS = 1735689600000000000n;

/** Thrown by `proc_exit`. */
export class Exit extends Error {
  constructor(code) {
    super(`the engine exited with code ${code}`);
    this.code = code;
  }
}

/** What an author calls that leads to an interface of the host. */
const CALLED = [
  [/^wasi:random\//, 'a function of `crypto` that makes random numbers'],
  [/^wasi:(clocks|io\/poll)/, 'a timer, or something that waits,'],
  [/^weir:processor\//, 'a function of weir-sdk'],
];

/** Thrown by calls of the host. */
export class NoHost extends Error {
  constructor(from, name) {
    const what = CALLED.find(([pattern]) => pattern.test(from))?.[1] ?? `\`${name}\` of \`${from}\``;
    super(`${what} was called at the top level of a module, which runs at build time without a host: call it in the handler or in \`setup\``);
  }
}

/** A small generator of numbers without any pattern that matters (mulberry32), from a fixed seed. */
function fixedRandom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) & 0xff;
  };
}

/**
 * What the engine sees while it is initialised.
 *
 * `files` are texts by absolute path, `env` texts by name, `stdin` a text. `seed` is what random numbers begin with.
 */
export class BuildSystem {
  #memory;
  #files;
  #env;
  #stdin;
  #random;
  #open = new Map();
  #nextFd = 4;
  #decoder = new TextDecoder();
  #written = { 1: '', 2: '' };

  constructor({ files, env, stdin, seed }) {
    const encode = (text) => new TextEncoder().encode(text);
    this.#files = new Map(Object.entries(files).map(([path, text]) => [path, encode(text)]));
    this.#env = Object.entries(env).map(([name, value]) => encode(`${name}=${value}\0`));
    this.#stdin = { content: encode(stdin), at: 0 };
    this.#random = fixedRandom(seed);
  }

  /** The memory of the instance, once there is one. */
  set memory(memory) {
    this.#memory = memory;
  }

  /** What was written to stdout and stderr. */
  get output() {
    return { stdout: this.#written[1], stderr: this.#written[2] };
  }

  get #view() {
    return new DataView(this.#memory.buffer);
  }

  #bytes(at, length) {
    return new Uint8Array(this.#memory.buffer, at, length);
  }

  #text(at, length) {
    return this.#decoder.decode(this.#bytes(at, length));
  }

  /** The calls, as imports of a module. What is not here fails as not supported. */
  imports() {
    const calls = {};
    for (const name of ['args_sizes_get', 'args_get', 'environ_sizes_get', 'environ_get', 'clock_time_get', 'random_get', 'proc_exit', 'fd_write',
      'fd_read', 'fd_close', 'fd_seek', 'fd_fdstat_get', 'fd_prestat_get', 'fd_prestat_dir_name', 'path_open', 'path_filestat_get']) {
      calls[name] = (...args) => this[name](...args);
    }
    return new Proxy(calls, { get: (known, name) => known[name] ?? (() => NOSYS) });
  }

  /** A function of another interface than WASI preview 1. */
  outside(from, name) {
    if (from.startsWith('wasi:clocks/monotonic-clock@') && name === 'now') return () => 0n;
    // What `Math.random` begins with. `crypto` requests bytes, which must never be the same in all instances.
    if (from.startsWith('wasi:random/random@') && name === 'get-random-u64') return () => BUILD_TIME_NS;
    return () => {
      throw new NoHost(from, name);
    };
  }

  args_sizes_get(count, size) {
    this.#view.setUint32(count, 0, true);
    this.#view.setUint32(size, 0, true);
    return OK;
  }

  args_get() {
    return OK;
  }

  environ_sizes_get(count, size) {
    this.#view.setUint32(count, this.#env.length, true);
    this.#view.setUint32(size, this.#env.reduce((sum, entry) => sum + entry.length, 0), true);
    return OK;
  }

  environ_get(pointers, buffer) {
    for (const entry of this.#env) {
      this.#view.setUint32(pointers, buffer, true);
      this.#bytes(buffer, entry.length).set(entry);
      pointers += 4;
      buffer += entry.length;
    }
    return OK;
  }

  clock_time_get(_clock, _precision, result) {
    this.#view.setBigUint64(result, BUILD_TIME_NS, true);
    return OK;
  }

  random_get(at, length) {
    const bytes = this.#bytes(at, length);
    for (let i = 0; i < length; i += 1) bytes[i] = this.#random();
    return OK;
  }

  proc_exit(code) {
    throw new Exit(code);
  }

  #buffers(list, count) {
    return Array.from({ length: count }, (_, i) => [this.#view.getUint32(list + i * 8, true), this.#view.getUint32(list + i * 8 + 4, true)]);
  }

  fd_write(fd, list, count, written) {
    if (!(fd in this.#written)) return BADF;
    let total = 0;
    for (const [at, length] of this.#buffers(list, count)) {
      this.#written[fd] += this.#text(at, length);
      total += length;
    }
    this.#view.setUint32(written, total, true);
    return OK;
  }

  fd_read(fd, list, count, read) {
    const file = fd === 0 ? this.#stdin : this.#open.get(fd);
    if (!file) return BADF;
    let total = 0;
    for (const [at, length] of this.#buffers(list, count)) {
      const part = file.content.subarray(file.at, file.at + length);
      this.#bytes(at, part.length).set(part);
      file.at += part.length;
      total += part.length;
    }
    this.#view.setUint32(read, total, true);
    return OK;
  }

  fd_close(fd) {
    return this.#open.delete(fd) ? OK : BADF;
  }

  fd_seek(fd, offset, whence, result) {
    const file = this.#open.get(fd);
    if (!file) return BADF;
    const base = [0, file.at, file.content.length][whence];
    file.at = base + Number(offset);
    this.#view.setBigUint64(result, BigInt(file.at), true);
    return OK;
  }

  fd_fdstat_get(fd, result) {
    const type = fd < 3 ? CHARACTER_DEVICE : fd === ROOT ? DIRECTORY : this.#open.has(fd) ? REGULAR_FILE : undefined;
    if (type === undefined) return BADF;
    this.#bytes(result, 24).fill(0);
    this.#view.setUint8(result, type);
    this.#view.setBigUint64(result + 8, 0xffff_ffffn, true);
    this.#view.setBigUint64(result + 16, 0xffff_ffffn, true);
    return OK;
  }

  fd_prestat_get(fd, result) {
    if (fd !== ROOT) return BADF;
    this.#view.setUint32(result, 0, true);
    this.#view.setUint32(result + 4, 1, true);
    return OK;
  }

  fd_prestat_dir_name(fd, at) {
    if (fd !== ROOT) return BADF;
    this.#bytes(at, 1)[0] = '/'.charCodeAt(0);
    return OK;
  }

  #find(at, length) {
    const path = this.#text(at, length).replace(/^(\.?\/)+/, '');
    return this.#files.get(`/${path}`);
  }

  path_open(_directory, _lookup, path, length, _open, _rights, _inheriting, _flags, result) {
    const content = this.#find(path, length);
    if (!content) return NOENT;
    this.#open.set(this.#nextFd, { content, at: 0 });
    this.#view.setUint32(result, this.#nextFd, true);
    this.#nextFd += 1;
    return OK;
  }

  path_filestat_get(_directory, _flags, path, length, result) {
    const content = this.#find(path, length);
    if (!content) return NOENT;
    this.#bytes(result, 64).fill(0);
    this.#view.setUint8(result + 16, REGULAR_FILE);
    this.#view.setBigUint64(result + 24, 1n, true);
    this.#view.setBigUint64(result + 32, BigInt(content.length), true);
    return OK;
  }
}
