// The classes named in wrangler.toml.
export { Compactor } from "./compactor.ts";
export { Directory } from "./directory.ts";
export { Scanner } from "./scanner.ts";
export { Tenant } from "./tenant.ts";
export { TraceShard } from "./trace-shard.ts";
