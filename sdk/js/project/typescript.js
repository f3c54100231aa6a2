// Lets Node read TypeScript: `node --import weir-sdk/typescript --test`. Types are removed by esbuild, not checked.

import { register } from 'node:module';

register('./typescript_loader.js', import.meta.url);
