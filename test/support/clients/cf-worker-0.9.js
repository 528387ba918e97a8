// A user's Worker instrumented by otel-cf-workers 0.9, which is what npm installs without a version.
import { instrument } from "@microlabs/otel-cf-workers-0.9";
import { SpanStatusCode, trace } from "@opentelemetry/api";
import { env as variables } from "cloudflare:workers";

const handler = {
  async fetch(_request, env) {
    await env.CARTS.get("größe 🎼");
    return trace.getTracer("shop", "1.2.3").startActiveSpan("größe 🎼", (span) => {
      const { traceId } = span.spanContext();
      span.setAttribute("text.ü", "grüße 🎼");
      span.recordException(new TypeError("no such thing: ü"));
      span.setStatus({ code: SpanStatusCode.ERROR, message: "gave up ✗" });
      span.end();
      return new Response(traceId);
    });
  },
};

const exporter = { url: `${variables.RUBATO}/v1/traces` };
export default instrument(handler, { exporter, service: { name: "läden" } });
