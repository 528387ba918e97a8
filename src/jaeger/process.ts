// Jaeger's Process: the resource of a batch.
import type { WireWriter } from "../otlp/wire-writer.ts";
import type { ByteSource } from "../util/byte-source.ts";
import type { ThriftReader } from "../util/thrift-reader.ts";
import { T } from "../util/thrift-reader.ts";
import { Tag } from "./tags.ts";

/** What OpenTelemetry's exporter writes when the resource has no service name. */
const NO_SERVICE_NAME = "OTLPResourceNoServiceName";
/** Tags of a process. An empty one has a byte here and 300 in memory; real ones have tens. */
const TAGS_MAX = 10_000;

/** Tags with another name in OTLP, unless that is there as well. */
const RENAMED: ReadonlyMap<string, { readonly key: string; readonly prefix: string }> = new Map([
  ["hostname", { key: "host.name", prefix: "" }],
  ["jaeger.version", { key: "opencensus.exporterversion", prefix: "Jaeger-" }],
]);

export class Process {
  readonly #source: ByteSource;
  #serviceName = "";
  #tags: Tag[] = [];

  constructor(source: ByteSource) {
    this.#source = source;
  }

  /** Process: serviceName 1 (string), tags 2 (list of Tag). Of several the last counts. */
  read(reader: ThriftReader): void {
    this.#serviceName = "";
    this.#tags = [];
    const outer = reader.beginStruct();
    while (reader.field() !== T.stop) {
      if (reader.fieldId === 1 && reader.fieldType === T.binary) {
        reader.binary();
        this.#serviceName = this.#source.text(reader.start, reader.end);
      } else if (reader.fieldId === 2 && reader.fieldType === T.list) {
        this.#readTags(reader);
      } else reader.skip(reader.fieldType);
    }
    reader.endStruct(outer);
  }

  #readTags(reader: ThriftReader): void {
    const count = reader.list();
    if (count > TAGS_MAX) throw reader.malformed(`a process with more than ${TAGS_MAX} tags`);
    const { elementType } = reader;
    for (let i = 0; i < count; i++) {
      if (elementType !== T.struct) reader.skip(elementType);
      else {
        const tag = new Tag();
        tag.read(reader);
        this.#tags.push(tag);
      }
    }
  }

  /** Writes the attributes as the repeated field `tag`. */
  write(out: WireWriter, tag: number): void {
    const service = this.#serviceName;
    if (service !== "" && service !== NO_SERVICE_NAME) out.stringAttribute(tag, "service.name", service);
    const keys = this.#tags.map(({ keyStart, keyEnd }) => this.#source.text(keyStart, keyEnd));
    const present = new Set(keys);
    for (const [i, one] of this.#tags.entries()) {
      const renamed = RENAMED.get(keys[i] ?? "");
      if (renamed === undefined || present.has(renamed.key)) one.write(out, tag, this.#source);
      else one.writeAs(out, tag, this.#source, renamed);
    }
  }
}
