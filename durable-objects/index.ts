// The classes named in wrangler.toml.
export { TraceShard } from "./trace-shard.ts";
