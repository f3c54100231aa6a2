/** Why a component cannot be built, in the author's terms. */
export declare class Fault extends Error {}

export interface BuildOptions {
  /** The project's folder, with package.json and node_modules. */
  project: string;
  /** The module that exports `handler`; default src/processor.ts or src/processor.js. */
  source?: string;
  /** The folder with the contract, processor.wit. */
  wit: string;
  /** The world of the component; default `configurable-processor`. */
  world?: string;
  /** The component to write. */
  output: string;
  /** The descriptor; default: weir.toml or descriptor.json of the project. */
  descriptor?: object;
  /** The cache of the engine with the contract's bindings; default .weir/build of the project. */
  cache?: string;
  /** The features of the engine; default stdio, random and clocks. */
  features?: string[];
  /** Receives warnings. */
  warn?: (text: string) => void;
  /** Receives the output of the module's top level. */
  print?: (text: string) => void;
}

export interface Built {
  output: string;
  /** The size of the component. */
  bytes: number;
  /** The size of the bundle of all sources in it. */
  bundleBytes: number;
  ms: number;
  /** Whether the engine with the contract's bindings was cached. */
  isEngineCached: boolean;
}

export declare function build(options: BuildOptions): Promise<Built>;

/** Prepares the engine for a world in the folder `cache`. Returns whether it was already cached. */
export declare function prepare(options: Pick<BuildOptions, 'project' | 'wit' | 'world' | 'features'> & { cache: string }): Promise<boolean>;
