// What is counted of a tenant, by name. The bill is made of the first part; the rest says who and what it was for.

interface Counter {
  /** Names of the labels; a series has one value for each. */
  readonly labels: readonly string[];
  /** How two counts of the same thing become one. */
  readonly merge: "sum" | "max";
  /** Series with different labels; what comes beyond is counted under `other`. */
  readonly maxSeries: number;
}

function plain(merge: Counter["merge"] = "sum"): Counter {
  return { labels: [], merge, maxSeries: 1 };
}

function labelled(labels: readonly string[], maxSeries: number, merge: Counter["merge"] = "sum"): Counter {
  return { labels, merge, maxSeries };
}

/** Of a tenant and day: more are not told apart. */
const SERVICES_MAX = 100;
const TOKENS_MAX = 100;
/** Routes are a fixed list of some 15, and a status is one of some 10. */
const ROUTES_MAX = 100;

/** Values are whole numbers. */
export const COUNTERS = {
  /** Requests that reached the Worker and belong to the tenant. */
  workerRequests: plain(),
  /** Microseconds of CPU in the Worker, estimated (cpu-model.ts): the clock stands still in CPU work. */
  workerCpuUs: plain(),
  /** Calls to objects, and alarms. */
  objectRequests: plain(),
  /** Milliseconds that objects were active: from the first call or alarm to the end of the last one under way. */
  objectMs: plain(),
  /** As billed: by `rowsWritten` of the cursors, and one for each alarm that is set. */
  rowsWritten: plain(),
  rowsRead: plain(),
  /** Operations of the object store: puts, parts, lists. */
  r2ClassA: plain(),
  /** Operations of the object store: gets. */
  r2ClassB: plain(),
  /** Bytes in SQLite, and in blocks, times hours. */
  sqliteByteHours: plain(),
  r2ByteHours: plain(),
  /** Until when, in ms, the byte hours are counted. */
  storedUntilMs: plain("max"),
  /** Spans that were stored, and their inflated bytes with resources and scopes. */
  spans: plain(),
  spanBytes: plain(),
  /** Bytes of the bodies that brought spans, as sent. */
  bytesIn: plain(),
  /** Spans that were not stored, whatever their batch's fate. */
  refusedSpans: labelled(["reason"], 32),
  serviceSpans: labelled(["service"], SERVICES_MAX),
  serviceBytes: labelled(["service"], SERVICES_MAX),
  tokenRequests: labelled(["token"], TOKENS_MAX),
  tokenSpans: labelled(["token"], TOKENS_MAX),
  tokenBytes: labelled(["token"], TOKENS_MAX),
  tokenLastUsedMs: labelled(["token"], TOKENS_MAX, "max"),
  /** Requests by what was asked and how it ended. */
  routeRequests: labelled(["route", "status"], ROUTES_MAX),
  /** Milliseconds that they took, all together. */
  routeMs: labelled(["route", "status"], ROUTES_MAX),
  /** Those that took no more than `le` ms, and more than the bound below it. */
  routeBucket: labelled(["route", "status", "le"], 5 * ROUTES_MAX),
  /** Bytes that queries looked at. */
  inspectedBytes: plain(),
  /** Blocks that were made of live spans, and times that this failed. */
  flushedBlocks: plain(),
  flushErrors: plain(),
  /** Merges, the blocks that went into them, the bytes and traces of what came out, and jobs that could not be done. */
  merges: plain(),
  mergedBlocks: plain(),
  mergedBytes: plain(),
  mergedTraces: plain(),
  givenUpJobs: plain(),
  /** Blocks that were kept long enough, and objects that were deleted, those that a merge replaced too. */
  expiredBlocks: plain(),
  deletedObjects: plain(),
} as const satisfies Readonly<Record<string, Counter>>;

export type CounterName = keyof typeof COUNTERS;

/**
 * Numbers of the counters in stored bytes: their places here. Only ever appended to.
 */
export const COUNTER_NUMBERS: readonly CounterName[] = [
  "workerRequests",
  "workerCpuUs",
  "objectRequests",
  "objectMs",
  "rowsWritten",
  "rowsRead",
  "r2ClassA",
  "r2ClassB",
  "sqliteByteHours",
  "r2ByteHours",
  "storedUntilMs",
  "spans",
  "spanBytes",
  "bytesIn",
  "refusedSpans",
  "serviceSpans",
  "serviceBytes",
  "tokenRequests",
  "tokenSpans",
  "tokenBytes",
  "tokenLastUsedMs",
  "routeRequests",
  "routeMs",
  "routeBucket",
  "inspectedBytes",
  "flushedBlocks",
  "flushErrors",
  "merges",
  "mergedBlocks",
  "mergedBytes",
  "mergedTraces",
  "givenUpJobs",
  "expiredBlocks",
  "deletedObjects",
];

/** Upper bounds of `routeBucket`, in ms. Fewer tell too little of p99, more make each day's row longer. */
export const REQUEST_BUCKETS_MS = [10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000] as const;

/** What stands for labels beyond `maxSeries`. */
export const OTHER = "other";
