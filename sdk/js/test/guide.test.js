// The code of the guide runs: each processor in it, with the tests that stand below it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import * as sdk from '../src/index.js';
import * as testing from '../src/testing/index.js';
import { ofManifest } from '../project/descriptor.js';
import { parseToml } from '../project/toml.js';

const README = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
const GUIDE = readFileSync(new URL('../../../docs/writing-a-processor/javascript.md', import.meta.url), 'utf8');

/** The blocks of the guide in order: language, file (if it has one) and text. */
function blocks(text) {
  const found = [...text.matchAll(/^```(\w+)(?: (\S+))?\n(.*?)^```$/gms)];
  return found.map(([, language, file, content]) => ({ language, file, content }));
}

/** Runs a module of the guide without its imports, which are given; gives back its `handler`. */
function run(code, given) {
  const body = code.replace(/^import .*\n/gm, '').replace(/^export const handler/m, 'const handler');
  const names = Object.keys(given);
  const returned = /^const handler/m.test(body) ? '\nreturn handler;' : '';
  return new Function(...names, body + returned)(...names.map((name) => given[name]));
}

const DESCRIPTORS = {
  rating: { schema: 1, consumers: ['input'], producers: ['output'] },
  tagging: { schema: 1, consumers: ['input'], producers: ['output'], 'config-types': ['tag-rule'] },
};

test('the processors of the guide do what the tests in it say', async () => {
  let [descriptor, handler, count] = [undefined, undefined, 0];
  let requests;
  for (const { language, content } of blocks(GUIDE)) {
    if (language === 'toml') {
      const read = ofManifest(parseToml(content));
      requests = read.requests;
      descriptor = requests ? { ...DESCRIPTORS.rating, requests } : read;
    } else if (language === 'js' && content.includes('export const handler')) {
      handler = run(content, sdk);
      if (content.includes('tag-rule')) descriptor = DESCRIPTORS.tagging;
    } else if (language === 'js') {
      const tests = [];
      const kit = (made) => testing.kit(made, { descriptor });
      run(content, { ...sdk, ...testing, assert, handler, kit, test: (name, body) => tests.push([name, body]) });
      assert.ok(tests.length > 0, content);
      for (const [, body] of tests) await body();
      count += tests.length;
    }
  }
  assert.equal(count, 6);
});

test('the fixture of the guide says what its processor does', async () => {
  const [manifest, code, fixture] = ['weir.toml', 'src/processor.js', 'tests/words.json'].map((name) => blocks(GUIDE).find(({ file }) => file === name).content);
  const { parameters, messages } = JSON.parse(fixture);
  const made = testing.kit(run(code, sdk), { descriptor: ofManifest(parseToml(manifest)) });
  for (const [name, value] of Object.entries(parameters)) made.parameter(name, value);
  for (const { input, message, expected } of messages) {
    const handled = await made.handle(input, message.json);
    if (expected.failure) assert.deepEqual({ verdict: handled.failure.verdict, reason: handled.failure.reason }, expected.failure);
    else assert.deepEqual(handled.json('output'), expected.outputs.output.map(({ json }) => json));
  }
});

test('the processor and the packages of the page of the package are those of a project', async () => {
  const [code] = blocks(README).filter(({ language }) => language === 'js');
  const descriptor = { ...DESCRIPTORS.rating, parameters: [{ name: 'shortest', type: 'integer', default: '1' }] };
  const handled = await testing.kit(run(code.content, sdk), { descriptor }).handle('input', { id: 'a', text: 'to be' });
  assert.deepEqual(handled.json('output'), [{ id: 'a', words: 2 }]);
  const shown = blocks(README).filter(({ language }) => language === 'json').map(({ content }) => JSON.parse(content));
  const templates = ['js', 'ts'].map((name) => {
    const text = readFileSync(new URL(`../../../host/project/src/languages/js/template/${name}/package.json.txt`, import.meta.url), 'utf8');
    return JSON.parse(text.replaceAll('{{NAME}}', 'word-counter').replace('{{SDK}}', '"esbuild": "0.28.2", "weir-sdk": "0.1.0"'));
  });
  assert.equal(shown.length, templates.length);
  for (const [index, part] of shown.entries()) for (const [key, value] of Object.entries(part)) assert.deepEqual(templates[index][key], value, key);
});

test('the TypeScript of the guide has types that fit', async () => {
  const { execFileSync } = await import('node:child_process');
  const { mkdtempSync, mkdirSync, rmSync, symlinkSync, writeFileSync } = await import('node:fs');
  const { fileURLToPath } = await import('node:url');
  const { join } = await import('node:path');
  const { tmpdir } = await import('node:os');
  const folder = mkdtempSync(join(tmpdir(), 'weir-sdk-types-'));
  const root = fileURLToPath(new URL('..', import.meta.url));
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(root, join(folder, 'node_modules/weir-sdk'));
  const config = JSON.parse(readFileSync(new URL('../../../plugins/json-transform/tsconfig.json', import.meta.url), 'utf8'));
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: { ...config.compilerOptions, types: [], preserveSymlinks: true } }));
  const { content } = blocks(GUIDE).find(({ language }) => language === 'ts');
  writeFileSync(join(folder, 'guide.ts'), content);
  writeFileSync(join(folder, 'types.ts'), readFileSync(new URL('types.ts', import.meta.url), 'utf8'));
  try {
    execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder], { encoding: 'utf8', stdio: 'pipe' });
  } catch (error) {
    assert.fail(error.stdout);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
