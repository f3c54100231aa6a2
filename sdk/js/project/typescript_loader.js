import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const TYPESCRIPT = /\.[cm]?ts$/;

let esbuild;

/** Sources name each other as `./x.js` where the file is `./x.ts`, as TypeScript wants it, or without an ending. */
export async function resolve(specifier, context, next) {
  try {
    return await next(specifier, context);
  } catch (error) {
    if (!/^\.{1,2}\//.test(specifier) || error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    return next(specifier.endsWith('.js') ? specifier.replace(/\.js$/, '.ts') : `${specifier}.ts`, context);
  }
}

export async function load(url, context, next) {
  if (!url.startsWith('file:') || !TYPESCRIPT.test(url)) return next(url, context);
  esbuild ??= await loadEsbuild();
  const sourcefile = fileURLToPath(url);
  const { code } = await esbuild.transform(await readFile(sourcefile, 'utf8'), { loader: 'ts', format: 'esm', target: 'es2023', sourcemap: 'inline', sourcefile });
  return { format: 'module', source: code, shortCircuit: true };
}

/** The project's own, else the SDK's. */
async function loadEsbuild() {
  const from = [join(process.cwd(), 'package.json'), fileURLToPath(import.meta.url)];
  for (const place of from) {
    try {
      return (await import(createRequire(place).resolve('esbuild'))).default;
    } catch (error) {
      if (error.code !== 'MODULE_NOT_FOUND') throw error;
    }
  }
  throw new Error('esbuild, which reads TypeScript, is not installed: run `npm install` in the project');
}
