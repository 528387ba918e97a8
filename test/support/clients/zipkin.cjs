// Zipkin's own client with its HTTP transport: two services that share the span ids of their calls.
// ENCODER is JSON_V1 (the client's default) or JSON_V2. Prints what it made as one line of JSON.
"use strict";
const events = require("node:events");
const {
  Annotation,
  BatchRecorder,
  ExplicitContext,
  Instrumentation,
  Tracer,
  jsonEncoder,
  option,
} = require("zipkin");
const { HttpLogger } = require("zipkin-transport-http");

const encoder = process.env.ENCODER;
const endpoint = `${process.env.RUBATO}/api/${encoder === "JSON_V1" ? "v1" : "v2"}/spans`;
const failures = [];
const loggers = [];
/** What the client holds, before it encodes it. */
const spans = [];

function tracerOf(localServiceName) {
  const logger = new HttpLogger({
    endpoint,
    jsonEncoder: jsonEncoder[encoder],
    httpInterval: 60_000,
    log: { error: (message) => failures.push(String(message)) },
  });
  loggers.push(logger);
  const logSpan = logger.logSpan.bind(logger);
  logger.logSpan = (span) => {
    const { traceId, id, parentId, name, timestamp, duration, annotations, shared } = span;
    spans.push({ traceId, id, parentId, name, timestamp, duration, annotations, shared });
    logSpan(span);
  };
  return new Tracer({
    ctxImpl: new ExplicitContext(),
    recorder: new BatchRecorder({ logger }),
    localServiceName,
    traceId128Bit: true,
  });
}

const front = tracerOf("läden");
const back = tracerOf("stock");

/** What the called service does: joins the caller's span, works, fails. */
function serve(headers) {
  const server = new Instrumentation.HttpServer({ tracer: back, host: "192.0.2.7", port: 8080 });
  const read = (name) => (name in headers ? new option.Some(headers[name]) : option.None);
  back.scoped(() => {
    const id = server.recordRequest("GET", "http://stock/größe", read);
    try {
      back.local("wählt 🎼", () => {
        back.recordMessage("läuft ü");
        throw new Error("gave up ✗");
      });
    } catch (error) {
      server.recordResponse(id, 500, error);
    }
  });
}

/** What the calling service does, with the spans of messages beside the call. */
function order() {
  front.local("größe 🎼", () => {
    front.recordBinary("text.ü", 'grüße 🎼 " \\ \n');
    front.recordBinary("int", 42);
    const client = new Instrumentation.HttpClient({ tracer: front, remoteServiceName: "stock" });
    front.scoped(() => {
      const request = client.recordRequest({ headers: {} }, "http://stock/größe", "GET");
      const id = front.id;
      serve(request.headers);
      client.recordResponse(id, 200);
    });
    for (const [name, start, end] of [
      ["producer", new Annotation.ProducerStart(), new Annotation.ProducerStop()],
      ["consumer", new Annotation.ConsumerStart(), new Annotation.ConsumerStop()],
    ]) {
      front.scoped(() => {
        front.setId(front.createChildId());
        front.recordServiceName("läden");
        front.recordRpc(name);
        front.recordAnnotation(start);
        front.recordAnnotation(end);
      });
    }
  });
}

async function main() {
  order();
  for (const logger of loggers) {
    const done = Promise.race([
      events.once(logger, "success"),
      new Promise((give) => setTimeout(give, 10_000).unref()),
    ]);
    logger.processQueue(logger.fetchImplementation);
    await done;
  }
  process.stdout.write(`${JSON.stringify({ spans, failures })}\n`);
}
void main();
