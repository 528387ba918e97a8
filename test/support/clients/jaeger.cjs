// Jaeger's own client, over HTTP. Prints what it made as one line of JSON.
"use strict";
const { initTracer } = require("jaeger-client");
const { FORMAT_HTTP_HEADERS, REFERENCE_FOLLOWS_FROM, Reference, Tags } = require("opentracing");

const failures = [];
const logger = { info: () => {}, error: (message) => failures.push(message) };
const config = (serviceName) => ({
  serviceName,
  sampler: { type: "const", param: 1 },
  reporter: { collectorEndpoint: `${process.env.RUBATO}/api/traces`, flushIntervalMs: 100 },
});
const shop = initTracer(config("läden"), { logger, traceId128bit: true, tags: { "version.ü": "1.2 ✓" } });
const stock = initTracer(config("stock"), { logger });

/** Whole milliseconds with a fraction that microseconds hold. */
const START = Date.now() + 0.25;
const at = (microseconds) => START + microseconds / 1000;

const root = shop.startSpan("größe 🎼", {
  startTime: START,
  tags: {
    [Tags.SPAN_KIND]: "client",
    "text.ü": "grüße 🎼",
    int: 42,
    double: 0.25,
    bool: true,
    bytes: Buffer.from([0, 255]),
  },
});
root.log({ event: "retry ü", attempt: 2, host: "ä" }, at(500));
root.log({ message: "no name" }, at(750));

// The other service gets the context in headers, as over the network.
const headers = {};
shop.inject(root, FORMAT_HTTP_HEADERS, headers);
const served = stock.startSpan("GET /stock", {
  childOf: stock.extract(FORMAT_HTTP_HEADERS, headers),
  startTime: at(1_000),
  tags: { [Tags.SPAN_KIND]: "server", [Tags.ERROR]: true, [Tags.HTTP_STATUS_CODE]: 503 },
});
const later = stock.startSpan("läuft nach", {
  startTime: at(2_000),
  references: [new Reference(REFERENCE_FOLLOWS_FROM, served.context())],
});
const other = stock.startSpan("another trace", { startTime: at(2_500) });
const joins = stock.startSpan("joins", {
  childOf: served,
  startTime: at(3_000),
  references: [new Reference(REFERENCE_FOLLOWS_FROM, other.context())],
});
joins.finish(at(3_250));
other.finish(at(3_500));
later.finish(at(4_000));
served.finish(at(4_250));
root.finish(at(5_000));

// The client's texts have no leading zeros.
const idsOf = (span) => ({
  traceId: span.context().traceIdStr.padStart(32, "0"),
  spanId: span.context().spanIdStr.padStart(16, "0"),
});
const spans = Object.fromEntries(
  Object.entries({ root, served, later, other, joins }).map(([name, span]) => [name, idsOf(span)]),
);
// Not public, but nothing else tells what the client says of its process.
const tagsOf = (tracer) => Reflect.get(tracer, "_tags");
const printed = { startMs: START, spans, process: { shop: tagsOf(shop), stock: tagsOf(stock) }, failures };
shop.close(() => stock.close(() => process.stdout.write(`${JSON.stringify(printed)}\n`)));
