// A span to try a server with: what `npm start` prints as a command, and `npm run deploy` sends.
import { randomBytes } from "node:crypto";

export interface FirstSpan {
  /** 32 hex digits. */
  readonly traceId: string;
  /** OTLP as JSON. */
  readonly body: object;
}

/** A span of a server that ended just now. */
export function firstSpan(service: string, name: string): FirstSpan {
  const traceId = randomBytes(16).toString("hex");
  const now = Date.now();
  const span = {
    traceId,
    spanId: randomBytes(8).toString("hex"),
    name,
    kind: 2,
    startTimeUnixNano: `${now - 120}000000`,
    endTimeUnixNano: `${now}000000`,
  };
  const resource = { attributes: [{ key: "service.name", value: { stringValue: service } }] };
  return { traceId, body: { resourceSpans: [{ resource, scopeSpans: [{ spans: [span] }] }] } };
}
