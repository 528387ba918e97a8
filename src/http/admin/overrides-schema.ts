// What a tenant may set by Tempo's user-configurable overrides: names, bounds and shape.
import { formatGoDuration, parseGoDuration } from "../params/durations.ts";
import { z } from "./schemas.ts";

const PROCESSORS = [
  "span-metrics",
  "span-metrics-latency",
  "span-metrics-count",
  "span-metrics-size",
  "service-graphs",
  "service-graphs-request",
  "service-graphs-latency",
  "service-graphs-connection-info",
  "host-info",
] as const;
const INTRINSIC_DIMENSIONS = ["service", "span_name", "span_kind", "status_code", "status_message"] as const;
const SECOND_NS = 1_000_000_000n;
const MINUTE_NS = 60n * SECOND_NS;
const HOUR_NS = 60n * MINUTE_NS;
/** Longer than any counter lives. */
const MAX_RESET_NS = 8_760n * HOUR_NS;

/** A duration as Go writes it, made canonical: `90s` is kept as `1m30s`. */
function duration(name: string, minNs: bigint, maxNs: bigint): z.ZodType<string, string> {
  const range = `${formatGoDuration(minNs)} to ${formatGoDuration(maxNs)}`;
  return z
    .string()
    .transform((text, context) => {
      const ns = parseGoDuration(text);
      if (ns !== undefined && ns >= minNs && ns <= maxNs) return formatGoDuration(ns);
      context.addIssue({ code: "custom", message: `${name} must be a duration from ${range}` });
      return z.NEVER;
    })
    .openapi({ type: "string", description: `A duration like 1m30s, from ${range}` });
}

const Names = z.array(z.string());
const Flag = z.boolean();

const Buckets = z.array(z.number()).superRefine((bounds, context) => {
  if (bounds.some((bound, i) => i > 0 && bound <= (bounds[i - 1] ?? bound))) {
    context.addIssue({ code: "custom", message: "histogram_buckets must be strictly increasing" });
  }
});

const PolicyMatch = z.strictObject({
  match_type: z.enum(["strict", "regex"]),
  attributes: z.array(
    z.strictObject({ key: z.string(), value: z.union([z.string(), z.number(), z.boolean()]) }),
  ),
});
const FilterPolicies = z.array(
  z.strictObject({
    include: PolicyMatch.optional(),
    include_any: PolicyMatch.optional(),
    exclude: PolicyMatch.optional(),
  }),
);

const ServiceGraphs = z.strictObject({
  dimensions: Names.optional(),
  enable_client_server_prefix: Flag.optional(),
  enable_messaging_system_latency_histogram: Flag.optional(),
  enable_virtual_node_label: Flag.optional(),
  peer_attributes: Names.optional(),
  filter_policies: FilterPolicies.optional(),
  histogram_buckets: Buckets.optional(),
  span_multiplier_key: z.string().optional(),
  enable_tracestate_span_multiplier: Flag.optional(),
});

const SpanMetrics = z.strictObject({
  dimensions: Names.optional(),
  intrinsic_dimensions: z.partialRecord(z.enum(INTRINSIC_DIMENSIONS), Flag).optional(),
  dimension_mappings: z
    .array(z.strictObject({ name: z.string(), source_labels: Names, join: z.string().optional() }))
    .optional(),
  enable_target_info: Flag.optional(),
  filter_policies: FilterPolicies.optional(),
  histogram_buckets: Buckets.optional(),
  target_info_excluded_dimensions: Names.optional(),
  enable_instance_label: Flag.optional(),
  span_multiplier_key: z.string().optional(),
  enable_tracestate_span_multiplier: Flag.optional(),
});

const HostInfo = z.strictObject({ host_identifiers: Names.optional(), metric_name: z.string().optional() });
const CostAttribution = z.strictObject({ dimensions: z.record(z.string(), z.string()).optional() });

const GeneratorFields = {
  processors: z.array(z.enum(PROCESSORS)).optional(),
  disable_collection: Flag.optional(),
  collection_interval: duration("collection_interval", 15n * SECOND_NS, 5n * MINUTE_NS).optional(),
  trace_id_label_name: z
    .string()
    .regex(/^[a-zA-Z_][a-zA-Z0-9_]*$/, "must be a label name of Prometheus")
    .optional(),
  ingestion_time_range_slack: duration("ingestion_time_range_slack", 0n, 12n * HOUR_NS).optional(),
  generate_native_histograms: z.enum(["classic", "native", "both"]).optional(),
  native_histogram_max_bucket_number: z.int().min(0).max(0xffff_ffff).optional(),
  native_histogram_bucket_factor: z.number().gt(1).optional(),
  native_histogram_min_reset_duration: duration(
    "native_histogram_min_reset_duration",
    0n,
    MAX_RESET_NS,
  ).optional(),
  span_name_sanitization: z.enum(["disabled", "dry_run", "enabled"]).optional(),
};

/** As it is stored: what is not set is not there. */
const OverridesSchema = z
  .strictObject({
    forwarders: Names.optional(),
    cost_attribution: CostAttribution.optional(),
    metrics_generator: z
      .strictObject({
        ...GeneratorFields,
        processor: z
          .strictObject({
            service_graphs: ServiceGraphs.optional(),
            span_metrics: SpanMetrics.optional(),
            host_info: HostInfo.optional(),
          })
          .optional(),
      })
      .optional(),
  })
  .openapi("Overrides");
export type Overrides = z.infer<typeof OverridesSchema>;

/** As it is taken: `null` is what is not there, as in Go. */
export const NewOverridesSchema: z.ZodType<Overrides> = z.preprocess(withoutNulls, OverridesSchema);

/** As it is answered: structs that Tempo always prints are there, be they empty. */
export const ShownOverridesSchema = z
  .object({
    forwarders: Names.optional(),
    cost_attribution: CostAttribution,
    metrics_generator: z.object({
      ...GeneratorFields,
      processor: z.object({ service_graphs: ServiceGraphs, span_metrics: SpanMetrics, host_info: HostInfo }),
    }),
  })
  .openapi("ShownOverrides");

/** Overrides in the shape that is answered. */
export function shownOverrides({
  forwarders,
  cost_attribution = {},
  metrics_generator: { processor = {}, ...fields } = {},
}: Overrides): z.infer<typeof ShownOverridesSchema> {
  const { service_graphs = {}, span_metrics = {}, host_info = {} } = processor;
  return {
    ...(forwarders === undefined ? {} : { forwarders }),
    cost_attribution,
    metrics_generator: { ...fields, processor: { service_graphs, span_metrics, host_info } },
  };
}

type JsonObject = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function withoutNulls(value: unknown): unknown {
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, inner]) => (inner === null ? [] : [[name, withoutNulls(inner)]])),
  );
}

/** RFC 7386: members of the patch replace the target's, `null` removes, objects are merged. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch;
  const merged = new Map(Object.entries(isObject(target) ? target : {}));
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, mergePatch(merged.get(name), value));
  }
  // Defines each name, so that one like __proto__ is a name like any other.
  return Object.fromEntries(merged);
}
