// One trace after another from a span index into a builder.
import type { BlockBuilder } from "./block-builder.ts";
import { Preorder } from "./preorder.ts";
import { emptyRowFacts } from "./row-facts.ts";
import type { SpanIndex } from "./span-index.ts";
import { COST_US, type Stretches } from "./stretches.ts";
import { orderTrace, readFacts, spanBytesOf } from "./trace-rows.ts";

/** Rows of a trace between two looks at how long the stretch is. */
const STEP_ROWS = 128;

export class TraceFeeder {
  readonly #index: SpanIndex;
  readonly #builder: BlockBuilder;
  readonly #stretches: Stretches;
  readonly #preorder = new Preorder();
  /** Index in the block of each of the index's resources and scopes: numbered by first use, so by row order. */
  readonly #resources = new Map<number, number>();
  readonly #scopes = new Map<number, number>();
  readonly #facts = emptyRowFacts();

  constructor(index: SpanIndex, builder: BlockBuilder, stretches: Stretches) {
    this.#index = index;
    this.#builder = builder;
    this.#stretches = stretches;
  }

  /**
   * Adds the next trace, greater than the one before.
   * @param members its spans in the index; sorted in place
   */
  async add(traceId: Uint8Array, members: Uint32Array): Promise<void> {
    const index = this.#index;
    const builder = this.#builder;
    const facts = this.#facts;
    const stretches = this.#stretches;
    const rows = orderTrace(index, members, this.#preorder);
    const spanBytes = spanBytesOf(index, rows);
    // Waiting for each of many small traces would cost more than ordering them.
    if (builder.isTraceFull(rows.count, spanBytes)) await builder.makeTraceRoom(rows.count, spanBytes);
    builder.beginTrace(traceId);
    for (let row = 0; row < rows.count; row++) {
      if (row % STEP_ROWS === 0) {
        const costUs = COST_US.span * Math.min(STEP_ROWS, rows.count - row);
        if (stretches.isFull(costUs)) await stretches.rest();
        stretches.did(costUs);
      }
      readFacts(index, rows, row, facts);
      facts.resource = this.#resourceOf(facts.resource);
      facts.scope = this.#scopeOf(facts.scope);
      const byteLength = facts.end - facts.start;
      if (builder.isFull(byteLength)) await builder.makeRoom(byteLength);
      builder.addSpan(facts);
    }
  }

  #resourceOf(number: number): number {
    const known = this.#resources.get(number);
    if (known !== undefined) return known;
    const added = this.#builder.addResource(this.#index.resources.head(number));
    this.#resources.set(number, added);
    return added;
  }

  #scopeOf(number: number): number {
    const known = this.#scopes.get(number);
    if (known !== undefined) return known;
    const added = this.#builder.addScope(this.#index.scopes.head(number));
    this.#scopes.set(number, added);
    return added;
  }
}
