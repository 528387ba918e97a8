// Scanner: looks into blocks for queries that are larger than one isolate should take. A thin shell; it stores nothing.
import { DurableObject, RpcTarget } from "cloudflare:workers";
import { readConfig } from "../src/model/config.ts";
import { Scanner as Runner, type ScannerPorts } from "../src/query/pool/scanner.ts";
import { ScannerMemory } from "../src/query/pool/scanner-memory.ts";
import type { Bindings } from "../src/store/bindings.ts";
import { objectStoreFor } from "../src/store/object-store-for.ts";
import type { ScannerRpc, ScanReply, ScanSessionRpc } from "../src/store/scanner-rpc.ts";
import { must } from "../src/util/assert.ts";

/** Of this isolate: other objects of the class may be in it. */
let memory: ScannerMemory | undefined;

export class Scanner extends DurableObject<Bindings> implements ScannerRpc {
  readonly #runner: Runner;

  constructor(state: DurableObjectState, env: Bindings) {
    super(state, env);
    this.#runner = new Runner(must(state.id.name, "a scanner is reached by its name"), this.ports(env));
  }

  async scan(request: Uint8Array): Promise<ScanSessionRpc> {
    return new Session(this.#runner.scan(request));
  }

  /** The outside world; tests put faults in by overriding it. */
  protected ports(env: Bindings): ScannerPorts {
    const { limits } = readConfig(env);
    memory ??= new ScannerMemory(limits.scan.pool);
    return { limits, objects: objectStoreFor(env), memory, pause: () => scheduler.wait(0) };
  }
}

/** Calls on it are the same request as the one that began it. */
class Session extends RpcTarget implements ScanSessionRpc {
  readonly #session: ScanSessionRpc;

  constructor(session: ScanSessionRpc) {
    super();
    this.#session = session;
  }

  ask(question: Uint8Array): Promise<ScanReply> {
    return this.#session.ask(question);
  }

  more(): Promise<ScanReply> {
    return this.#session.more();
  }

  cancel(): Promise<void> {
    return this.#session.cancel();
  }

  /** The platform calls it when the Worker has given the session up, or is no more. */
  [Symbol.dispose](): void {
    void this.#session.cancel();
  }
}
