// One of two instrumented HTTP services: the backend (plain http) or the shop (express, calls BACKEND_URL by fetch and http).
// Prints its address as the first line; on SIGTERM ends and prints what it exported.
"use strict";
const { start } = require("./otel-recorder.cjs");
const { ExpressInstrumentation } = require("@opentelemetry/instrumentation-express");
const { HttpInstrumentation } = require("@opentelemetry/instrumentation-http");
const { UndiciInstrumentation } = require("@opentelemetry/instrumentation-undici");

const collector = new URL(process.env.OTEL_EXPORTER_OTLP_ENDPOINT).host;
const recorder = start({
  instrumentations: [
    // The export itself is no part of the story.
    new HttpInstrumentation({
      ignoreOutgoingRequestHook: ({ host, hostname, port }) =>
        `${hostname ?? host}:${port}` === collector || host === collector,
    }),
    new ExpressInstrumentation(),
    new UndiciInstrumentation({ ignoreRequestHook: ({ origin }) => origin.endsWith(collector) }),
  ],
});

// After the instrumentations, which hook what is required from here on.
const http = require("node:http");
const express = require("express");

function backend() {
  return http.createServer((request, response) => {
    response.statusCode = request.url.startsWith("/missing") ? 404 : 200;
    response.end(JSON.stringify({ url: request.url }));
  });
}

function getByHttp(url) {
  return new Promise((done, fail) => {
    http
      .get(url, (response) => {
        response.resume();
        response.on("end", () => done(response.statusCode));
      })
      .on("error", fail);
  });
}

async function order(backendUrl, id) {
  const answer = await fetch(`${backendUrl}/stock?sku=${id}`);
  return { byFetch: await answer.json(), byHttp: await getByHttp(`${backendUrl}/missing`) };
}

function shop(backendUrl) {
  const app = express();
  app.get("/order/:id", (request, response, next) => {
    void order(backendUrl, request.params.id).then((answer) => response.json(answer), next);
  });
  app.get("/broken", () => {
    throw new Error("broken on purpose");
  });
  // Without it express prints the stack.
  app.use((error, _request, response, _next) => response.status(500).end(error.message));
  return http.createServer(app);
}

const server = process.env.BACKEND_URL === undefined ? backend() : shop(process.env.BACKEND_URL);
server.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
process.on("SIGTERM", () => {
  server.close(() => void recorder.finish().then(() => process.exit(0)));
  server.closeAllConnections();
});
