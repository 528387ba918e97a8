// A scan pool in this process: each Scanner with a memory of its own, as if in an isolate of its own, and calls that can fail.
import type { Limits } from "../../src/model/limits.ts";
import type { Question } from "../../src/query/pool/questions.ts";
import { Scanner } from "../../src/query/pool/scanner.ts";
import { ScannerMemory } from "../../src/query/pool/scanner-memory.ts";
import type { RangeReader } from "../../src/query/sources.ts";
import type { ScannerRpc, ScanSessionRpc } from "../../src/store/scanner-rpc.ts";
import { unpack } from "../../src/util/pack.ts";

export type PoolCall = "scan" | "more" | "cancel" | "summary" | (string & {});

export class ScanPool {
  /** By Scanner: calls in order, questions by their names. */
  readonly calls: { readonly scanner: string; readonly call: PoolCall }[] = [];
  /** Bytes that went to Scanners and came from them. */
  sentBytes = 0;
  receivedBytes = 0;
  /** Called before a call; throwing makes it fail, waiting makes it late. */
  beforeCall: (scanner: string, call: PoolCall) => Promise<void> | void = () => undefined;
  readonly #limits: Limits;
  readonly #objects: RangeReader;
  #memories = new Map<string, ScannerMemory>();

  constructor(limits: Limits, objects: RangeReader) {
    this.#limits = limits;
    this.#objects = objects;
  }

  get scanners(): string[] {
    return [...new Set(this.calls.map(({ scanner }) => scanner))].sort();
  }

  count(call: PoolCall): number {
    return this.calls.filter((each) => each.call === call).length;
  }

  /** All Scanners are evicted. */
  forget(): void {
    this.#memories = new Map();
  }

  readonly scannerOf = (name: string): ScannerRpc => {
    const memory = this.#memories.get(name) ?? new ScannerMemory(this.#limits.scan.pool);
    this.#memories.set(name, memory);
    const scanner = new Scanner(name, {
      limits: this.#limits,
      objects: this.#objects,
      memory,
      pause: () => new Promise((resolve) => setImmediate(resolve)),
    });
    return {
      scan: async (request) => {
        await this.#note(name, "scan", request);
        return this.#sessionOf(name, scanner.scan(request.slice()));
      },
    };
  };

  #sessionOf(name: string, session: ScanSessionRpc): ScanSessionRpc {
    const counted = async (reply: ReturnType<ScanSessionRpc["more"]>) => {
      const { bytes, ...rest } = await reply;
      this.receivedBytes += bytes?.length ?? 0;
      return { ...rest, ...(bytes && { bytes: bytes.slice() }) };
    };
    return {
      ask: async (question) => {
        await this.#note(name, nameOf(question), question);
        return counted(session.ask(question.slice()));
      },
      more: async () => {
        await this.#note(name, "more");
        return counted(session.more());
      },
      cancel: async () => {
        await this.#note(name, "cancel");
        await session.cancel();
      },
    };
  }

  async #note(scanner: string, call: PoolCall, message?: Uint8Array): Promise<void> {
    this.calls.push({ scanner, call });
    this.sentBytes += message?.length ?? 0;
    await this.beforeCall(scanner, call);
  }
}

function nameOf(question: Uint8Array): string {
  const { name }: Question = unpack(question);
  return name;
}

/** Limits under which every query with a block goes to `scanners` Scanners. */
export function pooledLimits(limits: Limits, more: Partial<Limits["scan"]["pool"]> = {}): Limits {
  const pool = { ...limits.scan.pool, maxLocalBlocks: 0, retryAfterMs: 1, ...more };
  return { ...limits, scan: { ...limits.scan, pool } };
}
