#!/usr/bin/env node
// The build as a program: what `weir build` runs.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { build, Fault, prepare } from './build.js';

const USAGE = `Build a component of a JavaScript or TypeScript processor

usage: node build/cli.js --wit FOLDER --output FILE [options]
       node build/cli.js --prepare --wit FOLDER --cache FOLDER [options]

  --project FOLDER      The project's folder, with package.json and node_modules (default: the current one)
  --source FILE         The module that exports \`handler\` (default: src/processor.ts or src/processor.js)
  --wit FOLDER          The folder with the contract, processor.wit
  --world NAME          The world of the component (default: configurable-processor)
  --descriptor FILE     The descriptor as JSON (default: weir.toml or descriptor.json of the project)
  --output FILE         The component to write
  --cache FOLDER        Where the engine with the contract's bindings is kept between builds (default: .weir/build of the project)
  --prepare             Only prepare the engine with the contract's bindings into --cache, which takes componentize-js and jco
  --features LIST       The features of the engine, separated by commas (default: stdio,random,clocks)
`;

const TEXT = { type: 'string' };
const OPTIONS = { project: TEXT, source: TEXT, wit: TEXT, world: TEXT, descriptor: TEXT, output: TEXT, cache: TEXT, features: TEXT, prepare: { type: 'boolean' }, help: { type: 'boolean' } };

async function main() {
  const { values } = parseArgs({ options: OPTIONS });
  if (values.help) return void process.stdout.write(USAGE);
  for (const name of ['wit', values.prepare ? 'cache' : 'output']) if (!values[name]) throw new Fault(`--${name} is missing\n\n${USAGE}`);
  if (values.prepare) {
    const isCached = await prepare({ ...values, project: values.project ?? '.', features: values.features?.split(',') });
    return void process.stdout.write(`${JSON.stringify({ isEngineCached: isCached })}\n`);
  }
  const built = await build({
    ...values,
    project: values.project ?? '.',
    descriptor: values.descriptor && JSON.parse(readFileSync(values.descriptor, 'utf8')),
    features: values.features?.split(','),
    warn: (text) => process.stderr.write(`warning: ${text}\n`),
    print: (text) => process.stderr.write(text),
  });
  process.stdout.write(`${JSON.stringify(built)}\n`);
}

try {
  await main();
} catch (error) {
  const isOurs = error instanceof Fault || error.code?.startsWith('ERR_PARSE_ARGS');
  process.stderr.write(isOurs ? `error: ${error.message}\n` : `error: the build failed for an unknown reason: ${error.stack}\n`);
  process.exitCode = 1;
}
