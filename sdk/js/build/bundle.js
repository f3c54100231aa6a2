// One file of the author's source, its libraries and the SDK: by esbuild, which reads TypeScript too.

import { builtinModules } from 'node:module';
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Fault } from './fault.js';
import { lineTable, lines } from './lines.js';

const SDK = dirname(dirname(fileURLToPath(import.meta.url)));
const ENTRY = 'weir:entry';
const BUILTINS = new Set(builtinModules.filter((name) => !name.startsWith('_')));

/** What the modules of Node.js would need, and a component does not have. */
const MISSING = [
  [/^(fs|path\/posix)(\/|$)/, 'a processor has no files'],
  [/^(net|tls|dgram|dns|http|https|http2|inspector)(\/|$)/, 'a processor has no access to the network; ask a service by `request`'],
  [/^(worker_threads|cluster)$/, 'a processor has no threads; set `concurrency` in weir.toml for more instances'],
  [/^(child_process)$/, 'a processor cannot start other programs'],
];

/** The module that connects the author's with the host: its exports are those of the component. */
function entry({ source, shownSource, declared, world }) {
  const canSetUp = world !== 'processor';
  const options = JSON.stringify({ declared, source: shownSource, canSetUp });
  return [
    ...['context', 'messaging', 'config', 'log'].map((name) => `import * as ${name} from 'weir:processor/${name}@0.1.0';`),
    `import { component, setLines } from ${JSON.stringify(join(SDK, 'src/component.js'))};`,
    `import * as author from ${JSON.stringify(source)};`,
    "globalThis[Symbol.for('weir-sdk.lines')] = setLines;",
    `const made = component({ context, messaging, config, log }, author, ${options});`,
    'export const handler = made.handler;',
    canSetUp ? 'export const setup = made.setup;' : '',
  ].join('\n');
}

/** The same `weir-sdk` for the author's source as for the entry, whatever lies in node_modules. */
const oneSdk = {
  name: 'weir-sdk',
  setup(build) {
    build.onResolve({ filter: /^weir-sdk(\/|$)/ }, ({ path }) => {
      if (path === 'weir-sdk') return { path: join(SDK, 'src/index.js') };
      return { errors: [{ text: `\`${path}\` cannot be part of a component: import \`weir-sdk\`; use its other modules only in tests and builds` }] };
    });
  },
};

/** Modules of Node.js, unless the project has a package of that name. */
const noNode = {
  name: 'no-node',
  setup(build) {
    build.onResolve({ filter: /^(node:)?[a-z0-9_]+(\/[a-z0-9_/]+)?$/ }, async ({ path, importer, resolveDir, kind, pluginData }) => {
      const name = path.replace(/^node:/, '');
      if (pluginData === noNode || !(path.startsWith('node:') || BUILTINS.has(name))) return undefined;
      if (!path.startsWith('node:')) {
        const found = await build.resolve(path, { importer, resolveDir, kind, pluginData: noNode });
        if (found.errors.length === 0) return found;
      }
      const why = MISSING.find(([pattern]) => pattern.test(name))?.[1] ?? 'a component has no Node.js around it';
      const isLibrary = importer.split(sep).includes('node_modules');
      const cure = isLibrary ? ': use a library, or a part of it, that works in browsers too' : '';
      return { errors: [{ text: `\`${path}\` is a module of Node.js: ${why}${cure}` }] };
    });
  },
};

/** `file:line:column: what is wrong`, with the line of the source. */
function shownError(project, { text, location, notes = [] }) {
  const place = location ? `${relative(project, resolve(project, location.file)) || location.file}:${location.line}:${location.column + 1}: ` : '';
  const line = location?.lineText ? `\n    ${location.lineText.trim()}` : '';
  const missing = /^Could not resolve "([^./][^"]*)"$/.exec(text)?.[1];
  // What esbuild advises, to leave it out of the bundle, makes no component.
  const cures = missing ? [`if it is a package: npm install ${missing}`] : notes.map((note) => note.text);
  return [`${place}${text}${line}`, ...cures.map((cure) => `  ${cure}`)].join('\n');
}

/**
 * Bundles `source` of `project`. Gives back `code`, and `place`, which finds where a line of the code comes from.
 */
export async function bundle(esbuild, { project, source, declared, world, warn }) {
  const path = isAbsolute(source) ? source : join(project, source);
  const shownSource = relative(project, path);
  let result;
  try {
    result = await esbuild.build({
      stdin: { contents: entry({ source: path, shownSource, declared, world }), sourcefile: ENTRY, resolveDir: project, loader: 'js' },
      absWorkingDir: project,
      outfile: join(project, 'bundle.js'),
      bundle: true,
      write: false,
      format: 'esm',
      platform: 'browser',
      target: 'es2023',
      charset: 'utf8',
      legalComments: 'none',
      keepNames: true,
      sourcemap: 'external',
      sourcesContent: false,
      external: ['weir:*'],
      define: { global: 'globalThis', 'process.env.NODE_ENV': '"production"', 'import.meta.url': '"file:///processor.js"' },
      plugins: [oneSdk, noNode],
      logLevel: 'silent',
    });
  } catch (error) {
    if (!error.errors) throw error;
    throw new Fault(error.errors.map((one) => shownError(project, one)).join('\n'));
  }
  result.warnings.forEach((one) => warn(shownError(project, one)));
  return placed(project, result.outputFiles);
}

function placed(project, files) {
  const text = (ending) => files.find((file) => file.path.endsWith(ending)).text;
  const map = JSON.parse(text('.map'));
  const sources = map.sources.map((name) => {
    const path = resolve(project, name);
    const isOurs = name.includes(ENTRY) || path.startsWith(join(SDK, 'src') + sep);
    return isOurs ? null : relative(project, path).split(sep).join('/');
  });
  const code = text('bundle.js');
  const table = lines(map, code);
  const place = (line) => {
    const found = table[line - 1];
    return found && sources[found[0]] ? { file: sources[found[0]], line: found[1] } : undefined;
  };
  // The entry leaves the SDK's `setLines` in a global, since esbuild may have given it another name.
  return { code: `${code}\nglobalThis[Symbol.for('weir-sdk.lines')](${lineTable(map, code, sources)});\n`, place };
}
