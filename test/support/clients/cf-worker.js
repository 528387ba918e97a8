// A user's Worker with a Durable Object, instrumented by otel-cf-workers as its README says.
import { instrument, instrumentDO, OTLPExporter } from "@microlabs/otel-cf-workers";
import { SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { DurableObject } from "cloudflare:workers";
import { normalize } from "../otel-normal.cjs";

const LINKED = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", traceFlags: 1 };

/** What was handed to the exporter, for the test to compare. Worker and object share an isolate here. */
const exported = [];

class PlainCounter extends DurableObject {
  async fetch(request) {
    trace.getActiveSpan()?.addEvent("zählt ü", { path: new URL(request.url).pathname });
    const count = ((await this.ctx.storage.get("count")) ?? 0) + 1;
    await this.ctx.storage.put("count", count);
    return Response.json({ count });
  }
}

/** The work of a request: a store, another service, an object, a span of the user's own that fails. */
async function order(env) {
  await env.CARTS.put("größe 🎼", "7");
  await env.CARTS.get("größe 🎼");
  const called = await fetch(`${env.RUBATO}/status-of-another-service`);
  await called.text();
  const counter = env.COUNTER.get(env.COUNTER.idFromName("läden"));
  await counter.fetch("http://counter/größe");
  const options = {
    kind: SpanKind.PRODUCER,
    links: [{ context: LINKED }],
    attributes: { "text.ü": 'grüße 🎼 " \\ \n', int: 42, double: 0.25, bool: true },
  };
  trace.getTracer("shop", "1.2.3").startActiveSpan("größe 🎼", options, (span) => {
    span.recordException(new TypeError("no such thing: ü"));
    span.setStatus({ code: SpanStatusCode.ERROR, message: "gave up ✗" });
    span.end();
  });
}

const handler = {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/fails") throw new Error("gave up ✗");
    await order(env);
    return new Response("ordered");
  },
};

function config(env) {
  const exporter = new OTLPExporter({ url: `${env.RUBATO}/v1/traces` });
  return {
    exporter: {
      export(spans, done) {
        exported.push(...spans.map(normalize));
        exporter.export(spans, done);
      },
      shutdown: () => exporter.shutdown(),
    },
    service: { name: "läden", version: "1.2 ✓", namespace: "shop" },
  };
}

const instrumented = instrument(handler, config);

export const Counter = instrumentDO(PlainCounter, config);
export default {
  fetch: (request, env, ctx) =>
    new URL(request.url).pathname === "/exported"
      ? Response.json(exported)
      : instrumented.fetch(request, env, ctx),
};
