// Realistic OTLP traffic from a seed: the same options give the same bytes, in tests, benches and the demo.
import {
  type Attribute,
  encodeJson,
  encodeProtobuf,
  type EventRecord,
  type LinkRecord,
  type ResourceGroup,
  type ScopeGroup,
  type SpanRecord,
} from "./otlp-writer.ts";
import { makeRandom, type Random } from "./random.ts";
import {
  calleeOf,
  ENTRY_SERVICES,
  exceptionAttributes,
  functionCall,
  httpClient,
  httpServer,
  kafkaMessage,
  KIND,
  linkAttributes,
  makePods,
  makeVisitor,
  type Operation,
  type Pod,
  podOf,
  rareAttribute,
  redisCommand,
  rpcCall,
  SCOPES,
  serviceName,
  sqlQuery,
  type Visitor,
} from "./topology.ts";

export interface GeneratorOptions {
  readonly seed: number;
  /** Start of the first trace in ns since the Unix epoch; default 2026-11-23T00:00:00Z. */
  readonly startNs?: bigint;
  /** Mean number of spans of a trace; default 10. */
  readonly spansPerTrace?: number;
  /** How fast the generated clock runs; default 500. It decides how many traces overlap. */
  readonly tracesPerSecond?: number;
}

export interface BigTrace {
  readonly traceId: Uint8Array;
  readonly batches: Uint8Array<ArrayBuffer>[];
}

export interface Generator {
  /**
   * One ExportTraceServiceRequest of exactly `spanCount` spans, ordered by end time as exporters send them
   * and grouped by resource and scope as a collector does: a trace may go on in the next batches.
   */
  batch(spanCount: number): Uint8Array<ArrayBuffer>;
  /** The batch that `batch` would have given, as OTLP JSON text. */
  batchJson(spanCount: number): string;
  /** The same batch in both encodings. */
  batchBoth(spanCount: number): { protobuf: Uint8Array<ArrayBuffer>; json: string };
  /** One trace of exactly `spanCount` spans, in batches of at most `batchSpans` (default 2,000). */
  trace(spanCount: number, batchSpans?: number): BigTrace;
  /** Hex ids of the traces of which a span was handed out, oldest first; the latest 10,000. */
  traceIds(): readonly string[];
}

const DEFAULT_START_NS = 1_795_392_000_000_000_000n;
const TRACE_IDS_KEPT = 10_000;
/** Spans generated ahead of what a batch takes, so that neighbouring batches share traces. */
const LOOKAHEAD_SPANS = 600;
const FLAGS_SAMPLED = 0x101;
const FLAGS_REMOTE_PARENT = 0x301;

const P_EXCEPTION = 0.017;
const P_LINK = 0.01;
const P_RARE = 0.2;
const P_TRACE_STATE = 0.03;
/** Share of a trace's spans that carry who it is for. */
const P_VISITOR = 0.42;

interface Placed {
  readonly pod: Pod;
  readonly scope: number;
  readonly span: SpanRecord;
}

/** A span that may still get children, with times relative to the trace in ns. */
interface Open {
  readonly pod: Pod;
  readonly spanId: Uint8Array;
  readonly start: number;
  readonly end: number;
}

/** What all spans of one trace share. */
interface TraceContext {
  readonly traceId: Uint8Array;
  readonly traceState: string;
  readonly startNs: bigint;
  readonly visitor: Visitor;
  readonly spans: Placed[];
  readonly open: Open[];
}

class TraceBuilder {
  readonly #random: Random;
  readonly #pods: readonly Pod[];
  /** Ids of earlier spans: what links point to. */
  #earlier: { traceId: Uint8Array; spanId: Uint8Array };

  constructor(random: Random) {
    this.#random = random;
    this.#pods = makePods(random);
    this.#earlier = { traceId: random.bytes(16), spanId: random.bytes(8) };
  }

  build(startNs: bigint, spanCount: number): TraceContext {
    const random = this.#random;
    const context: TraceContext = {
      traceId: random.bytes(16),
      traceState: random.chance(P_TRACE_STATE) ? `shop=t${random.hex(6)},vendor=${random.hex(4)}` : "",
      startNs,
      visitor: makeVisitor(random),
      spans: [],
      open: [],
    };
    const pod = podOf(random, this.#pods, random.below(ENTRY_SERVICES));
    const duration = Math.max(50_000, Math.round(random.logNormal(110e6, 1)));
    this.#add(context, httpServer(random, pod.serviceName), pod, undefined, 0, duration);
    while (context.spans.length < spanCount) this.#grow(context, spanCount - context.spans.length);
    const last = context.spans[context.spans.length - 1]!.span;
    this.#earlier = { traceId: last.traceId, spanId: last.spanId };
    return context;
  }

  /** Adds one or two spans below a span chosen at random. */
  #grow(context: TraceContext, room: number): void {
    const random = this.#random;
    const parent = random.pick(context.open);
    const span = parent.end - parent.start;
    const start = parent.start + Math.floor(random.unit() * 0.8 * span);
    const end = start + Math.max(1, Math.floor((0.05 + 0.9 * random.unit()) * (parent.end - start)));
    const choice = random.unit();
    if (choice < 0.22) return void this.#add(context, sqlQuery(random), parent.pod, parent, start, end);
    if (choice < 0.34) return void this.#add(context, redisCommand(random), parent.pod, parent, start, end);
    if (choice < 0.52) {
      this.#add(context, functionCall(random), parent.pod, parent, start, end);
      return;
    }
    this.#call(context, parent, { start, end, choice, room });
  }

  /** A call to another service: the caller's span and, when there is room, the callee's. */
  #call(
    context: TraceContext,
    parent: Open,
    call: { start: number; end: number; choice: number; room: number },
  ): void {
    const random = this.#random;
    const { start, end } = call;
    const service = calleeOf(random, parent.pod.service);
    const callee = serviceName(service);
    const operations: [Operation, Operation] =
      call.choice < 0.72
        ? [httpClient(random, callee), httpServer(random, callee)]
        : call.choice < 0.92
          ? [rpcCall(random, KIND.client, callee), rpcCall(random, KIND.server, callee)]
          : [kafkaMessage(random, KIND.producer), kafkaMessage(random, KIND.consumer)];
    const caller = this.#add(context, operations[0], parent.pod, parent, start, end);
    if (call.room < 2) return;
    const network = Math.floor(0.1 * random.unit() * (end - start));
    const pod = podOf(random, this.#pods, service);
    // A consumer works on after its producer has ended, which is where traces grow beyond their root.
    const late = operations[1].kind === KIND.consumer ? Math.round(random.exponential(20e6)) : 0;
    this.#add(
      context,
      operations[1],
      pod,
      caller,
      start + network + late,
      Math.max(start + network + 1, end - network) + late,
    );
  }

  #add(
    context: TraceContext,
    operation: Operation,
    pod: Pod,
    parent: Open | undefined,
    start: number,
    end: number,
  ): Open {
    const random = this.#random;
    const open: Open = { pod, spanId: random.bytes(8), start, end };
    const { attributes } = operation;
    if (random.chance(P_VISITOR)) addVisitor(random, context.visitor, attributes);
    if (random.chance(P_RARE)) attributes.push(rareAttribute(random));
    const failed = random.chance(P_EXCEPTION);
    const remote = operation.kind === KIND.server || operation.kind === KIND.consumer;
    context.spans.push({
      pod,
      scope: operation.scope,
      span: {
        traceId: context.traceId,
        spanId: open.spanId,
        parentSpanId: parent?.spanId,
        traceState: context.traceState,
        flags: remote && parent !== undefined ? FLAGS_REMOTE_PARENT : FLAGS_SAMPLED,
        name: operation.name,
        kind: operation.kind,
        startNs: context.startNs + BigInt(start),
        endNs: context.startNs + BigInt(end),
        attributes,
        events: failed ? [this.#exception(context.startNs + BigInt(end))] : [],
        links: random.chance(P_LINK) ? [this.#link()] : [],
        statusCode: failed ? 2 : random.chance(0.1) ? 1 : 0,
        statusMessage: failed ? "upstream gave up" : "",
      },
    });
    // A client's work is done elsewhere: its only child is the callee, which #call adds.
    if (operation.kind !== KIND.client && operation.kind !== KIND.producer) context.open.push(open);
    return open;
  }

  #exception(timeNs: bigint): EventRecord {
    return { timeNs, name: "exception", attributes: exceptionAttributes(this.#random) };
  }

  #link(): LinkRecord {
    return { ...this.#earlier, attributes: linkAttributes(this.#random), flags: 0x100 };
  }
}

function addVisitor(random: Random, visitor: Visitor, attributes: Attribute[]): void {
  for (const attribute of visitor.attributes) if (random.chance(0.8)) attributes.push(attribute);
}

/** Groups as a collector's batch processor does, in order of first appearance. */
function grouped(spans: readonly Placed[]): readonly ResourceGroup[] {
  const groups = new Map<Pod, { group: ResourceGroup; scopes: Map<number, ScopeGroup> }>();
  for (const { pod, scope, span } of spans) {
    let entry = groups.get(pod);
    if (entry === undefined) {
      entry = { group: { attributes: pod.attributes, scopes: [] }, scopes: new Map() };
      groups.set(pod, entry);
    }
    let target = entry.scopes.get(scope);
    if (target === undefined) {
      target = { ...SCOPES[scope]!, spans: [] };
      entry.scopes.set(scope, target);
      entry.group.scopes.push(target);
    }
    target.spans.push(span);
  }
  return Array.from(groups.values(), (entry) => entry.group);
}

function byEndTime(a: Placed, b: Placed): number {
  return a.span.endNs < b.span.endNs ? -1 : a.span.endNs > b.span.endNs ? 1 : 0;
}

function hexOf(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

/** See {@link Generator}. Every call moves the generator on; two with the same options stay equal. */
export function makeGenerator(options: GeneratorOptions): Generator {
  const random = makeRandom(options.seed);
  const builder = new TraceBuilder(random);
  const meanSpans = options.spansPerTrace ?? 10;
  const intervalNs = 1e9 / (options.tracesPerSecond ?? 500);
  const ids = new Set<string>();
  let nextStartNs = options.startNs ?? DEFAULT_START_NS;
  let pending: Placed[] = [];

  function remember(id: string): void {
    ids.add(id);
    if (ids.size > TRACE_IDS_KEPT) for (const oldest of ids) return void ids.delete(oldest);
  }

  function take(spanCount: number): readonly ResourceGroup[] {
    while (pending.length < spanCount + LOOKAHEAD_SPANS) {
      const size = Math.max(1, Math.round(random.logNormal(meanSpans, 1)));
      for (const placed of builder.build(nextStartNs, size).spans) pending.push(placed);
      nextStartNs += BigInt(Math.round(random.exponential(intervalNs)));
    }
    pending.sort(byEndTime);
    const taken = pending.slice(0, spanCount);
    pending = pending.slice(spanCount);
    for (const { span } of taken) remember(hexOf(span.traceId));
    return grouped(taken);
  }

  return {
    batch: (spanCount) => encodeProtobuf(take(spanCount)),
    batchJson: (spanCount) => encodeJson(take(spanCount)),
    batchBoth: (spanCount) => {
      const groups = take(spanCount);
      return { protobuf: encodeProtobuf(groups), json: encodeJson(groups) };
    },
    trace: (spanCount, batchSpans = 2_000) => {
      const context = builder.build(nextStartNs, spanCount);
      nextStartNs += BigInt(Math.round(intervalNs));
      remember(hexOf(context.traceId));
      const spans = context.spans.sort(byEndTime);
      const batches: Uint8Array<ArrayBuffer>[] = [];
      for (let i = 0; i < spans.length; i += batchSpans) {
        batches.push(encodeProtobuf(grouped(spans.slice(i, i + batchSpans))));
      }
      return { traceId: context.traceId, batches };
    },
    traceIds: () => Array.from(ids),
  };
}
