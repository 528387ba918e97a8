// Blocks that lie with the right checksums, merged: a page of spans is changed and framed anew behind the file's end, where
// the trace index then points to. What must come out: AppError `corrupt` that names the input, or a block that reads back
// in full.
import { encodePage, decodePageBody, decodePageHeader } from "../../src/block/page.ts";
import { mergeBlocks } from "../../src/block/merge.ts";
import { decodeFileMetadata, encodeFileMetadata } from "../../src/block/parquet-metadata.ts";
import { readTracePages } from "../../src/block/read-trace.ts";
import { tracePages } from "../../src/block/lookup.ts";
import { bytesSource, openBlock } from "../../src/block/reader.ts";
import { encodeTraceIndex, TraceIndex } from "../../src/block/trace-index.ts";
import { visitSpans } from "../../src/otlp/spans.ts";
import { concatBytes } from "../../src/util/bytes.ts";
import { isAppError } from "../../src/util/errors.ts";
import { type BuiltBlock, buildBlock, collect, inOneChunk } from "../support/block-model.ts";
import { makeGenerator } from "../support/generator.ts";
import { mutate } from "../support/otlp.ts";
import { makeRandom, type Random } from "../support/random.ts";

/** Bytes that no merge of these blocks, of some 30 KB, may allocate. */
const MEMORY_BYTES = 64 * 1024 * 1024;
const FOOTER_END_BYTES = 8;

/** The raw page with a word or a few bytes changed. */
function lie(raw: Uint8Array, random: Random): Uint8Array {
  if (random.chance(0.5)) return mutate(raw, random);
  const out = Uint8Array.from(raw);
  const view = new DataView(out.buffer);
  const at = random.below(out.length - 3);
  view.setUint32(at, random.pick([0, 1, view.getUint32(at, true) + 1, 0x7fff_ffff, random.u32()]), true);
  return out;
}

async function readAll(file: Uint8Array): Promise<number> {
  const block = await openBlock(bytesSource(file));
  const { traceIndex, resources } = await block.written();
  const ids = await block.traceIds();
  let spans = 0;
  for (let at = 0; at < ids.length; at += 16) {
    const traceId = ids.subarray(at, at + 16);
    const range = tracePages(traceIndex, traceId);
    const end = (range?.offset ?? 0) + (range?.length ?? 0);
    const parts = await collect(
      readTracePages(inOneChunk(file.subarray(range?.offset, end)), resources, traceId),
    );
    for (const part of parts) {
      visitSpans(part, { resourceSpans: () => true, scopeSpans: () => true, span: () => void spans++ });
    }
  }
  return spans;
}

export class MergeFuzz {
  /** How often each outcome came. */
  readonly counts = new Map<string, number>();
  readonly #sound: BuiltBlock;
  readonly #victim: BuiltBlock;
  readonly #raw: Uint8Array;

  private constructor(sound: BuiltBlock, victim: BuiltBlock) {
    this.#sound = sound;
    this.#victim = victim;
    const [[page] = []] = new TraceIndex(victim.written.traceIndex).pageRuns();
    if (page === undefined) throw new Error("a block has a page");
    const bytes = victim.file.subarray(page.offset, page.offset + page.byteLength);
    const { header, bodyAt } = decodePageHeader(bytes, 0);
    this.#raw = decodePageBody(header, bytes.subarray(bodyAt), "zstd");
  }

  static async make(seed: number): Promise<MergeFuzz> {
    const generator = makeGenerator({ seed });
    const [sound, victim] = [generator.batch(60), generator.batch(60)];
    return new MergeFuzz(await buildBlock([sound]), await buildBlock([victim]));
  }

  /** One merge. Throws when anything else comes of it than what is allowed. */
  async run(seed: number): Promise<void> {
    const random = makeRandom(seed);
    const file = this.#forged(lie(this.#raw, random), random.chance(0.9) ? 60 : 1 + random.below(120));
    const before = process.memoryUsage().arrayBuffers;
    const outcome = await this.#merge(file);
    if (process.memoryUsage().arrayBuffers - before > MEMORY_BYTES) throw new Error("too much memory");
    this.counts.set(outcome, (this.counts.get(outcome) ?? 0) + 1);
  }

  async #merge(file: Uint8Array): Promise<string> {
    const chunks: Uint8Array[] = [];
    try {
      const { meta } = await mergeBlocks(
        [bytesSource(this.#sound.file), bytesSource(file)],
        (bytes) => void chunks.push(bytes),
        { zstdLevel: 1, rowGroupSpans: 50, arrivedMs: 1, replaces: [], pause: async () => undefined },
      );
      const spans = await readAll(concatBytes(chunks));
      if (spans !== meta.spanCount) throw new Error(`${spans} of ${meta.spanCount} spans read back`);
      return "merged";
    } catch (error) {
      if (!isAppError(error) || error.kind !== "corrupt" || !error.message.startsWith("input ")) throw error;
      return "corrupt";
    }
  }

  /** The victim with another page of spans, at its end. */
  #forged(raw: Uint8Array, rowCount: number): Uint8Array {
    const { file } = this.#victim;
    const view = new DataView(file.buffer, file.byteOffset, file.length);
    const footerAt = file.length - FOOTER_END_BYTES - view.getUint32(file.length - FOOTER_END_BYTES, true);
    const metadata = decodeFileMetadata(file.subarray(footerAt, file.length - FOOTER_END_BYTES));
    const page = encodePage({
      kind: "data",
      raw,
      valueCount: rowCount,
      encoding: 0,
      compression: "zstd",
      zstdLevel: 1,
    });
    const byteLength = page.header.length + page.body.length;
    const traceIndex = encodeTraceIndex([
      {
        offset: footerAt,
        pages: [{ firstTraceId: new Uint8Array(16), isContinued: false, byteLength, rowCount: 60 }],
      },
    ]);
    const [[key, text] = ["", "{}"]] = metadata.keyValues;
    const facts = JSON.parse(text) as { parts: Record<string, unknown> };
    facts.parts["traceIndex"] = { offset: footerAt + byteLength, length: traceIndex.length };
    const footer = encodeFileMetadata(
      { ...metadata, keyValues: new Map([[key, JSON.stringify(facts)]]) },
      (metadata.rowGroups[0]?.columns ?? []).map(({ schema }) => schema),
    );
    const end = new Uint8Array(FOOTER_END_BYTES);
    new DataView(end.buffer).setUint32(0, footer.length, true);
    end.set(file.subarray(-4), 4);
    return concatBytes([file.subarray(0, footerAt), page.header, page.body, traceIndex, footer, end]);
  }
}
