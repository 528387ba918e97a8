// Trace by id over HTTP: routes, parameters, negotiation, statuses, compression.
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { createApp } from "../../../src/http/app.ts";
import { acceptsGzip } from "../../../src/http/compress.ts";
import { DEFAULT_LIMITS, type Limits } from "../../../src/model/limits.ts";
import { MemoryStore } from "../../../src/store/memory-store.ts";
import { concatBytes } from "../../../src/util/bytes.ts";
import { traceHash } from "../../../src/util/hash.ts";
import { toHex } from "../../../src/util/hex.ts";
import { makeGenerator } from "../../support/generator.ts";
import { batch, FakeShard, span, TRACE_ID } from "../../support/query-fakes.ts";

const ID = toHex(TRACE_ID);
const LIVE = batch("shop", [span(1)]);

interface Setup {
  readonly shard: FakeShard;
  readonly asked: [tenant: string, hash: number][];
  get(path: string, headers?: Record<string, string>, method?: string): Promise<Response>;
}

function setUp(live: Uint8Array = LIVE, limits: Partial<Limits> = {}): Setup {
  const shard = new FakeShard();
  shard.live = live;
  const asked: [string, number][] = [];
  const app = createApp({
    limits: { ...DEFAULT_LIMITS, ...limits },
    clock: { now: () => 0 },
    objects: new MemoryStore(),
    shards: {
      forWriting: () => Promise.reject(new Error("unused")),
      forReading: async (tenant, hash) => {
        asked.push([tenant, hash]);
        return [{ name: "t/0", shard }];
      },
      forScanning: () => Promise.reject(new Error("unused")),
      limitsOf: async () => undefined,
    },
  });
  return {
    shard,
    asked,
    get: async (path, headers = {}, method = "GET") =>
      app.request(`http://tempo.test${path}`, { method, headers }),
  };
}

/** A setup whose only block cannot be read: the store does not have it. */
async function setUpBroken(): Promise<Setup> {
  const setup = setUp();
  await setup.shard.addBlock(new MemoryStore(), "tenant=t/lost.parquet", [batch("a", [span(2)])]);
  return setup;
}

async function bytes(response: Response): Promise<Uint8Array> {
  return new Uint8Array(await response.arrayBuffer());
}

describe("trace by id", () => {
  test("asks the shard of the trace once, for the tenant of an installation without tenancy", async () => {
    const setup = setUp();
    expect((await setup.get(`/api/traces/${ID}`)).status).toBe(200);
    expect(setup.asked).toEqual([["single-tenant", traceHash(TRACE_ID)]]);
    expect(setup.shard.calls).toEqual([TRACE_ID]);
  });

  test("a short id is padded on the left, either case", async () => {
    const setup = setUp();
    await setup.get("/api/v2/traces/AbC");
    expect(toHex(setup.shard.calls[0]!)).toBe("00000000000000000000000000000abc");
  });

  test("says where the spans came from", async () => {
    const response = await setUp(batch("shop", [span(1), span(2)])).get(`/api/v2/traces/${ID}`);
    expect(response.headers.get("rubato-sources")).toBe("live=2, blocks=0");
  });

  test.each(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])("answers %s", async (method) => {
    for (const version of ["", "v2/"]) {
      const response = await setUp().get(`/api/${version}traces/${ID}`, {}, method);
      expect(response.status).toBe(200);
      expect(await response.json()).toHaveProperty(version === "" ? "batches" : "trace");
    }
  });

  test("HEAD has the headers and no body", async () => {
    const response = await setUp().get(`/api/traces/${ID}`, {}, "HEAD");
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe("application/json");
    expect(await response.text()).toBe("");
  });

  test.each(["//api/traces/abc", "/api//traces///abc", "//api//v2/traces//abc"])(
    "several slashes are one: %s",
    async (path) => {
      const setup = setUp();
      expect((await setup.get(path)).status).toBe(200);
      expect(toHex(setup.shard.calls[0]!)).toBe("00000000000000000000000000000abc");
    },
  );

  test.each(["", "x", "a|b", "../.."])(
    "without tenancy the header X-Scope-OrgID is ignored: %j",
    async (id) => {
      const setup = setUp();
      expect((await setup.get(`/api/traces/${ID}`, { "x-scope-orgid": id })).status).toBe(200);
      expect(setup.asked).toEqual([["single-tenant", traceHash(TRACE_ID)]]);
    },
  );

  test("parameters of a body do not count", async () => {
    const setup = setUp();
    const response = await setup.get(`/api/traces/${ID}`, { "content-type": "text/plain" }, "POST");
    expect(response.status).toBe(200);
  });
});

describe("trace by id: content negotiation", () => {
  test.each([
    [undefined, "json"],
    ["", "json"],
    ["*/*", "json"],
    ["application/json", "json"],
    ["text/html", "json"],
    ["application/x-protobuf", "json"],
    ["application/protobuf", "protobuf"],
    ["application/json, application/protobuf;q=0.1", "protobuf"],
    ["text/html;application/protobufX", "protobuf"],
  ])("Accept %s gives %s", async (accept, encoding) => {
    for (const version of ["", "v2/"]) {
      const headers: Record<string, string> = accept === undefined ? {} : { accept };
      const response = await setUp().get(`/api/${version}traces/${ID}`, headers);
      expect(response.headers.get("content-type")).toBe(`application/${encoding}`);
      expect((await bytes(response))[0]).toBe(encoding === "json" ? 0x7b : 0x0a);
    }
  });

  test("version 1 protobuf is the trace itself, version 2 the trace as field 1", async () => {
    const accept = { accept: "application/protobuf" };
    expect(await bytes(await setUp().get(`/api/traces/${ID}`, accept))).toEqual(LIVE);
    const v2 = await bytes(await setUp().get(`/api/v2/traces/${ID}`, accept));
    expect(v2.subarray(0, 2 + LIVE.length)).toEqual(concatBytes([Uint8Array.of(0x0a, LIVE.length), LIVE]));
  });
});

describe("trace by id: bad requests", () => {
  test.each([
    ["xyz", "trace IDs can only contain hex characters: invalid character 'x' at position 1"],
    ["12g4", "trace IDs can only contain hex characters: invalid character 'g' at position 3"],
    ["ab%2Fcd", "trace IDs can only contain hex characters: invalid character '/' at position 3"],
    ["%20", "trace IDs can only contain hex characters: invalid character ' ' at position 1"],
    ["%zz", "trace IDs can only contain hex characters: invalid character '%' at position 1"],
    ["1".repeat(33), "trace IDs can't be larger than 128 bits"],
  ])("id %s", async (id, message) => {
    for (const version of ["", "v2/"]) {
      const setup = setUp();
      const response = await setup.get(`/api/${version}traces/${id}`);
      expect(response.status).toBe(400);
      expect(response.headers.get("content-type")).toMatch(/^text\/plain/);
      expect(await response.text()).toBe(`${message}\n`);
      expect(setup.asked).toEqual([]);
    }
  });

  test.each([
    ["mode=none", "invalid value for mode none"],
    ["mode=ALL", "invalid value for mode ALL"],
    ["start=abc", 'invalid start: "abc" is no number of seconds'],
    ["end=1.5", 'invalid end: "1.5" is no number of seconds'],
    ["start=99999999999999999999", 'invalid start: "99999999999999999999" is no number of seconds'],
    ["start=10&end=10", "http parameter start must be before end. received start=10 end=10"],
    ["start=11&end=10", "http parameter start must be before end. received start=11 end=10"],
    ["blockStart=1", 'invalid blockStart: "1" is no UUID'],
    [
      "blockEnd=00000000-0000-0000-0000-00000000000g",
      'invalid blockEnd: "00000000-0000-0000-0000-00000000000g" is no UUID',
    ],
  ])("%s", async (query, message) => {
    for (const version of ["", "v2/"]) {
      const response = await setUp().get(`/api/${version}traces/${ID}?${query}`);
      expect(response.status).toBe(400);
      expect(await response.text()).toBe(`${message}\n`);
    }
  });

  test.each([
    "",
    "mode=",
    "mode=all",
    "mode=ingesters",
    "start=0&end=0",
    "start=10",
    "end=10",
    "start=10&end=0",
    "start=0&end=5",
    "start=-5",
    "start=10&end=11",
    "start=&end=",
    "rf1After=2024-01-01T00:00:00Z",
    "blockStart=00000000-0000-0000-0000-000000000000&blockEnd=FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
    "blockStart=urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    "blockStart={6ba7b810-9dad-11d1-80b4-00c04fd430c8}&blockEnd=6ba7b8109dad11d180b400c04fd430c8",
    "q=",
    "unknown=1",
  ])("%s is no reason to refuse", async (query) => {
    for (const version of ["", "v2/"]) {
      expect((await setUp().get(`/api/${version}traces/${ID}?${query}`)).status).toBe(200);
    }
  });

  test.each([
    "/api/traces/",
    "/api/traces",
    "/api/v2/traces/",
    "/api/v2/traces",
    "/api/traces//",
    "/api/traces/abc/def",
    "/api/v2/traces/abc//",
  ])("%s is 404", async (path) => {
    const setup = setUp();
    expect((await setup.get(path)).status).toBe(404);
    expect(setup.asked).toEqual([]);
  });
});

describe("trace by id: statuses", () => {
  test("nothing found: version 1 says 404 with nothing, version 2 sends an empty trace", async () => {
    const setup = setUp(new Uint8Array(0));
    const v1 = await setup.get(`/api/traces/${ID}`);
    expect(v1.status).toBe(404);
    expect(await v1.text()).toBe("");
    const v2 = await setup.get(`/api/v2/traces/${ID}`);
    expect(v2.status).toBe(200);
    expect(await v2.text()).toBe('{"trace":{},"metrics":{}}');
    const protobuf = await setup.get(`/api/v2/traces/${ID}`, { accept: "application/protobuf" });
    expect((await bytes(protobuf)).subarray(0, 2)).toEqual(Uint8Array.of(0x0a, 0));
  });

  test("too large: version 1 says 422, version 2 sends what fits and says so", async () => {
    const live = batch("shop", [span(1), span(2)]);
    const fits = setUp(live, { maxTraceBytes: live.length });
    expect((await fits.get(`/api/traces/${ID}`)).status).toBe(200);
    const setup = setUp(live, { maxTraceBytes: live.length - 1 });
    const v1 = await setup.get(`/api/traces/${ID}`);
    expect(v1.status).toBe(422);
    expect(await v1.text()).toBe(`trace exceeds max size (max bytes: ${live.length - 1})\n`);
    const v2 = await setup.get(`/api/v2/traces/${ID}`);
    expect(v2.status).toBe(200);
    expect(await v2.json()).toMatchObject({
      status: "PARTIAL",
      message: `Trace exceeds maximum size of ${live.length - 1} bytes, a partial trace is returned`,
      trace: { resourceSpans: [{ scopeSpans: [{ spans: [{ name: "s1" }] }] }] },
    });
  });

  test("a block is missing: version 1 says 500, version 2 sends the rest and says what is missing", async () => {
    const message = "Trace may be incomplete, could not read tenant=t/lost.parquet (not_found)";
    const v1 = await (await setUpBroken()).get(`/api/traces/${ID}`);
    expect(v1.status).toBe(500);
    expect(await v1.text()).toBe(`${message}\n`);
    const v2 = await (await setUpBroken()).get(`/api/v2/traces/${ID}`);
    expect(v2.status).toBe(200);
    expect(await v2.json()).toMatchObject({
      status: "PARTIAL",
      message,
      trace: { resourceSpans: [{ scopeSpans: [{ spans: [{ name: "s1" }] }] }] },
    });
  });

  test("a block is missing and nothing else was found: still not a 404", async () => {
    const setup = await setUpBroken();
    setup.shard.live = new Uint8Array(0);
    expect((await setup.get(`/api/traces/${ID}`)).status).toBe(500);
    expect(await (await setup.get(`/api/v2/traces/${ID}`)).json()).toMatchObject({
      trace: {},
      status: "PARTIAL",
    });
  });
});

describe("trace by id: gzip", () => {
  const { traceId, batches } = makeGenerator({ seed: 5 }).trace(3000, 1000);
  const large = concatBytes(batches);
  const path = `/api/traces/${toHex(traceId)}`;
  const gzip = { "accept-encoding": "gzip" };

  test("a streamed and a whole body are compressed when the client allows it", async () => {
    for (const live of [
      large,
      batches[0]!.slice(0),
      batch(
        "shop",
        Array.from({ length: 40 }, (_, i) => span(i + 1)),
      ),
    ]) {
      for (const accept of ["application/json", "application/protobuf"]) {
        const plain = await setUp(live).get(path, { accept });
        expect(plain.headers.get("content-encoding")).toBe(null);
        expect(plain.headers.get("vary")).toBe("Accept-Encoding");
        const packed = await setUp(live).get(path, { accept, ...gzip });
        expect(packed.headers.get("content-encoding")).toBe("gzip");
        expect(packed.headers.get("vary")).toBe("Accept-Encoding");
        const inflated = new Uint8Array(gunzipSync(await bytes(packed)));
        expect(Buffer.compare(inflated, await bytes(plain))).toBe(0);
      }
    }
  });

  test("a body of up to a kilobyte is not", async () => {
    const response = await setUp().get(`/api/traces/${ID}`, gzip);
    expect(response.headers.get("content-encoding")).toBe(null);
    expect(response.headers.get("vary")).toBe("Accept-Encoding");
    expect(await response.json()).toHaveProperty("batches");
  });

  test("errors are plain", async () => {
    const response = await setUp().get("/api/traces/xyz", gzip);
    expect(response.headers.get("content-encoding")).toBe(null);
  });

  test.each<[string | null, boolean]>([
    [null, false],
    ["", false],
    ["gzip", true],
    ["GZIP", true],
    ["x-gzip", true],
    ["br, gzip", true],
    ["gzip;q=0", false],
    ["gzip; q=0.0", false],
    ["gzip;q=0.001", true],
    ["gzip ; Q=0", false],
    ["br", false],
    ["identity", false],
    ["*", true],
    ["*;q=0", false],
    ["gzip;q=0, *", false],
    ["*;q=0, gzip", true],
    ["gzipped", false],
    ["gzip;q=x", true],
  ])("Accept-Encoding %s: %s", (header, expected) => {
    expect(acceptsGzip(header)).toBe(expected);
  });
});
