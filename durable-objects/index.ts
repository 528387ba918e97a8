// The classes named in wrangler.toml.
export { Compactor } from "./compactor.ts";
export { TraceShard } from "./trace-shard.ts";
