// Starts the S3-compatible server for all files of a test project.
import type { TestProject } from "vitest/node";
import { type S3Access, startS3Server } from "../support/s3-server.ts";

/** The server, or why there is none: then the tests that need it fail, and no others. */
export type ProvidedS3 = S3Access | { readonly missing: string };

declare module "vitest" {
  interface ProvidedContext {
    readonly s3: ProvidedS3;
  }
}

export async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  try {
    const server = await startS3Server();
    project.provide("s3", server.access);
    return () => server.stop();
  } catch (error) {
    const { message, cause } = error as Error;
    project.provide("s3", { missing: `${message}\n${cause instanceof Error ? cause.message : ""}` });
    return undefined;
  }
}

/** The Worker's variables for the server. */
export function s3Variables(s3: ProvidedS3): Record<string, string> {
  if ("missing" in s3) return { S3_MISSING: s3.missing };
  return {
    S3_ENDPOINT: s3.endpoint,
    S3_BUCKET: s3.bucket,
    S3_REGION: s3.region,
    S3_ACCESS_KEY_ID: s3.accessKeyId,
    S3_SECRET_ACCESS_KEY: s3.secretAccessKey,
  };
}
