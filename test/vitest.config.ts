import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig, type TestProjectConfiguration } from "vitest/config";
import { s3Variables } from "./s3/setup.ts";
import { canHaveS3Server } from "./support/s3-server.ts";

if (!canHaveS3Server()) {
  console.warn(
    "left out: the tests against an S3-compatible server, which need Go 1.25 or newer (test/README.md)",
  );
}

/** Most tests are about other things than who may: those make their own tokens. */
const OPEN = { ACCESS: "open" };

/** The tests against a real S3-compatible server, where one can be had. */
const s3Projects: TestProjectConfiguration[] = canHaveS3Server()
  ? [
      {
        test: {
          name: "s3",
          environment: "node",
          include: ["test/s3/**/*.test.ts"],
          globalSetup: "./test/s3/setup.ts",
          testTimeout: 60_000,
        },
      },
      {
        plugins: [
          cloudflareTest(({ inject }) => ({
            main: "./test/integration/worker.ts",
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: { bindings: { ...OPEN, ...s3Variables(inject("s3")) } },
          })),
        ],
        test: {
          name: "s3-workerd",
          include: ["test/s3-workerd/**/*.test.ts"],
          globalSetup: "./test/s3/setup.ts",
          testTimeout: 60_000,
        },
      },
    ]
  : [];

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "node",
          environment: "node",
          include: ["test/{unit,simulation,fuzz,traceql}/**/*.test.ts", "test/property/**/*.prop.test.ts"],
          testTimeout: 60_000,
        },
      },
      {
        plugins: [
          cloudflareTest({
            main: "./test/integration/worker.ts",
            wrangler: { configPath: "./wrangler.toml" },
            miniflare: { bindings: OPEN },
          }),
        ],
        test: { name: "workerd", include: ["test/integration/**/*.test.ts"], testTimeout: 60_000 },
      },
      ...s3Projects,
      {
        test: {
          name: "e2e",
          environment: "node",
          include: ["test/e2e/**/*.test.ts"],
          // Servers with their clients: never beside the other projects, so that nothing disturbs what they measure.
          fileParallelism: false,
          sequence: { groupOrder: 1 },
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
