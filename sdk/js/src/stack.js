// What an exception says to people: its message, its causes, and the author's part of the stack.

/** What the engine throws when memory runs out: it makes no object then. */
export const OUT_OF_MEMORY = 'out of memory';

const MOST_FRAMES = 30;
const MOST_CAUSES = 5;

/** Where the lines of the bundle come from, as the build wrote it: `{sources, lines}`; `null` for files of the SDK. */
let table;

/**
 * Takes the table that the build appends to the bundle. `lines` has for each line of the bundle the number of its source and its line,
 * as differences to the line before.
 */
export function setLines(sources, differences) {
  table = { sources, differences, lines: undefined };
}

function lineOf(line) {
  if (!table.lines) {
    let [source, at] = [0, 0];
    table.lines = [];
    for (let i = 0; i < table.differences.length; i += 2) {
      source += table.differences[i];
      at += table.differences[i + 1];
      table.lines.push([source, at]);
    }
  }
  const found = table.lines[line - 1];
  return found && { source: table.sources[found[0]], line: found[1] };
}

/** One line of a stack, of SpiderMonkey (`f@file:line:column`) or of V8 (`at f (file:line:column)`): `undefined` for anything else. */
function parseFrame(text) {
  const spidermonkey = /^(.*?)@(.*):(\d+):(\d+)$/.exec(text);
  const v8 = /^\s*at (?:async )?(?:(.*?) \()?(.*?):(\d+):(\d+)\)?$/.exec(text);
  const found = v8 ?? spidermonkey;
  return found && { name: found[1] ?? '', file: found[2], line: Number(found[3]), column: Number(found[4]) };
}

/** The name of a function without what the engines put around it. */
function plainName(name) {
  return name.replace(/[*/<]+$/g, '').replace(/^.*[/<*]/, '').replace(/^(async|Object\.|Module\.)\s*/, '');
}

function mapped(frame) {
  if (!table) return inProject(frame);
  const at = lineOf(frame.line);
  if (!at?.source) return undefined;
  return { ...frame, file: at.source, line: at.line, column: undefined };
}

/** Where the projects lie of which there are kits, in a test. */
const projects = new Set();

/** Has files of a project named as in a component: from its folder on. */
export function addProject(folder) {
  projects.add(`${folder}/`);
}

function inProject(frame) {
  const file = frame.file.replace(/^file:\/\//, '');
  const folder = [...projects].find((project) => file.startsWith(project));
  return folder === undefined ? frame : { ...frame, file: file.slice(folder.length), column: undefined };
}

/** Where the SDK lies, in a test; in a component the table knows which lines are the SDK's. */
let sdkFolder;

export function setSdkFolder(url) {
  sdkFolder = url;
}

const isSdks = (frame) => sdkFolder !== undefined && frame.file.startsWith(sdkFolder);
const isEngines = (frame) => /(^|\/)initializer\.js$|^node:/.test(frame.file);

/** The author's frames of a stack, the innermost first. */
export function frames(stack) {
  const all = String(stack ?? '').split('\n').map(parseFrame).filter(Boolean);
  // What called the SDK is the kit and the test, not the author's handler.
  const called = all.findIndex((frame) => isSdks(frame) && frame.file.endsWith('/processor.js'));
  const inside = called < 0 ? all : all.slice(0, called);
  // The table is of the bundle alone, not of what the engine runs around it.
  return inside.filter((frame) => !isEngines(frame) && !isSdks(frame)).map(mapped).filter(Boolean);
}

function shownFrame({ name, file, line, column }) {
  const place = `${file.replace(/^file:\/\//, '')}:${line}${column === undefined ? '' : `:${column}`}`;
  const called = plainName(name);
  return `    at ${called ? `${called} (${place})` : place}`;
}

/** A thrown value with its causes and the author's part of its stack. */
export function explain(thrown) {
  const texts = [];
  for (let value = thrown, count = 0; value !== undefined && value !== null && count < MOST_CAUSES; count += 1) {
    texts.push((count ? 'caused by: ' : '') + explainOne(value));
    value = value instanceof Error ? value.cause : undefined;
  }
  return texts.length ? texts.join('\n') : `${thrown} was thrown, which is not an Error: throw new Error(...) instead, which shows where it was thrown`;
}

function explainOne(value) {
  if (value === OUT_OF_MEMORY) return 'out of memory: the message is too large for the memory limit; raise `limits.memory` in weir.toml, or the limit of the deployment';
  if (!(value instanceof Error)) {
    return `${shownValue(value)} was thrown, which is not an Error: throw new Error(...) instead, which shows where it was thrown`;
  }
  const headline = value.message ? `${value.name}: ${value.message}` : value.name;
  return [headline, ...shortened(frames(value.stack).map(shownFrame))].join('\n');
}

/** The same line over and over, as of a function that calls itself, is shown once. */
function shortened(lines) {
  const shown = [];
  for (let at = 0; at < lines.length && shown.length < MOST_FRAMES; ) {
    let end = at + 1;
    while (lines[end] === lines[at]) end += 1;
    shown.push(end - at > 2 ? `${lines[at]} (${end - at} times)` : lines.slice(at, end).join('\n'));
    at = end;
  }
  return shown;
}

function shownValue(value) {
  const kind = typeof value === 'string' ? 'the string' : typeof value === 'object' ? 'the object' : `the ${typeof value}`;
  let text;
  try {
    text = typeof value === 'object' || typeof value === 'string' ? JSON.stringify(value) : String(value);
  } catch {
    text = Object.prototype.toString.call(value);
  }
  return `${kind} ${String(text).slice(0, 1000)}`;
}
