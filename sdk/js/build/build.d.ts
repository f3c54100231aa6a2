/** What keeps a component from being built, in the author's terms. */
export declare class Fault extends Error {}

export interface BuildOptions {
  /** The project's folder, with package.json and node_modules. */
  project: string;
  /** The module that exports `handler`; unless set src/processor.ts or src/processor.js. */
  source?: string;
  /** The folder with the contract, processor.wit. */
  wit: string;
  /** The world of the component; unless set `configurable-processor`. */
  world?: string;
  /** The component to write. */
  output: string;
  /** The descriptor; unless set what weir.toml or descriptor.json of the project says. */
  descriptor?: object;
  /** Where the engine with the contract's bindings is kept between builds; unless set .weir/build of the project. */
  cache?: string;
  /** The features of the engine; unless set stdio, random and clocks. */
  features?: string[];
  /** Takes warnings. */
  warn?: (text: string) => void;
  /** Takes what the top level of the module prints. */
  print?: (text: string) => void;
}

export interface Built {
  output: string;
  /** The size of the component. */
  bytes: number;
  /** The size of the bundle of all sources in it. */
  bundleBytes: number;
  ms: number;
  /** Whether the engine with the contract's bindings was there already. */
  isEngineCached: boolean;
}

export declare function build(options: BuildOptions): Promise<Built>;

/** Prepares the engine for a world into the folder `cache`. Gives back whether it was there already. */
export declare function prepare(options: Pick<BuildOptions, 'project' | 'wit' | 'world' | 'features'> & { cache: string }): Promise<boolean>;
