// Which tags of a Zipkin span are about the process rather than the span.

/** Prefixes of OpenTelemetry's resource conventions. What begins with one is a resource attribute. */
const PREFIXES: readonly string[] = [
  "aws.ecs.",
  "aws.eks.",
  "aws.log.",
  "cloud.",
  "container.",
  "device.",
  "host.",
  "k8s.",
  "os.",
  "process.",
  "service.",
  "telemetry.",
  "webengine.",
];

/** Single names: their neighbours belong to spans (`faas.trigger`), or they stand alone. */
const NAMES: ReadonlySet<string> = new Set([
  "deployment.environment",
  "deployment.environment.name",
  "faas.id",
  "faas.instance",
  "faas.max_memory",
  "faas.name",
  "faas.version",
  // What OpenCensus called them.
  "opencensus.exporterversion",
  "opencensus.resourcetype",
  "opencensus.starttime",
]);

/** The letters that a prefix or name begins with: nearly all tags are told apart by it. */
const FIRST_LETTERS = new Uint8Array(128);
for (const text of [...PREFIXES, ...NAMES]) FIRST_LETTERS[text.charCodeAt(0)] = 1;

/** Whether a tag of this key belongs to the resource. */
export function isResourceKey(key: string): boolean {
  if (FIRST_LETTERS[key.charCodeAt(0)] !== 1) return false;
  return NAMES.has(key) || PREFIXES.some((prefix) => key.startsWith(prefix));
}
