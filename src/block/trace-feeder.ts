// One trace after another from a span index into a builder.
import type { BlockBuilder } from "./block-builder.ts";
import { Preorder } from "./preorder.ts";
import { emptyRowFacts } from "./row-facts.ts";
import type { SpanIndex } from "./span-index.ts";
import { orderTrace, readFacts, spanBytesOf } from "./trace-rows.ts";

export class TraceFeeder {
  readonly #index: SpanIndex;
  readonly #builder: BlockBuilder;
  readonly #preorder = new Preorder();
  /** Index in the block of each of the index's resources and scopes: numbered by first use, so by row order. */
  readonly #resources = new Map<number, number>();
  readonly #scopes = new Map<number, number>();
  readonly #facts = emptyRowFacts();

  constructor(index: SpanIndex, builder: BlockBuilder) {
    this.#index = index;
    this.#builder = builder;
  }

  /**
   * Adds the next trace, greater than the one before.
   * @param members its spans in the index; sorted in place
   */
  async add(traceId: Uint8Array, members: Uint32Array): Promise<void> {
    const index = this.#index;
    const builder = this.#builder;
    const facts = this.#facts;
    const rows = orderTrace(index, members, this.#preorder);
    await builder.beginTrace(traceId, rows.count, spanBytesOf(index, rows));
    for (let row = 0; row < rows.count; row++) {
      readFacts(index, rows, row, facts);
      facts.resource = this.#resourceOf(facts.resource);
      facts.scope = this.#scopeOf(facts.scope);
      if (builder.isPageFull(facts.end - facts.start)) await builder.cutPage();
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
