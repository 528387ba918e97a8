import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { statusRoutes } from "../../../src/http/routes/status.ts";
import { VERSION } from "../../../src/model/version.ts";

const METHODS = ["GET", "POST", "PUT", "DELETE"];

async function ask(path: string, method: string): Promise<Response> {
  return statusRoutes().request(`http://tempo.test${path}`, { method });
}

describe("status routes", () => {
  test.each([
    ["/api/echo", "echo\n"],
    ["/ready", "ready\n"],
    ["/status/version", `tempo, version 3.0.2 (rubato ${VERSION})\n`],
    ["/status/usage-stats", "usage-stats is not enabled\n"],
    [
      "/status",
      `GET /status/version\ntempo, version 3.0.2 (rubato ${VERSION})\n\nGET /status/usage-stats\nusage-stats is not enabled\n`,
    ],
  ])("%s answers %j as text, by any method", async (path, body) => {
    for (const method of METHODS) {
      const response = await ask(path, method);
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toMatch(/^text\/plain/);
      expect(await response.text()).toBe(body);
    }
  });

  test("/api/status/buildinfo tells a Tempo version and our own", async () => {
    for (const method of METHODS) {
      const response = await ask("/api/status/buildinfo", method);
      expect(response.status).toBe(200);
      expect(response.headers.get("content-type")).toMatch(/^application\/json/);
      expect(await response.json()).toMatchObject({
        version: expect.stringMatching(/^\d+\.\d+\.\d+$/),
        revision: "",
        branch: "",
        buildUser: "",
        buildDate: "",
        goVersion: "",
        rubatoVersion: VERSION,
      });
    }
  });

  test("the version is package.json's", () => {
    expect(VERSION).toBe((JSON.parse(readFileSync("package.json", "utf8")) as { version: string }).version);
  });
});
