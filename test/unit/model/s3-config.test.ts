import { describe, expect, test } from "vitest";
import { readS3Config, type S3Variables } from "../../../src/model/s3-config.ts";
import { objectStoreFor } from "../../../src/store/object-store-for.ts";
import { R2Store } from "../../../src/store/r2-store.ts";
import { S3Store } from "../../../src/store/s3-store.ts";

const SECRET = "s3cr3t/that+must=never-be-told";
const set: S3Variables = {
  S3_ENDPOINT: "https://s3.example.com",
  S3_BUCKET: "blocks",
  S3_ACCESS_KEY_ID: "AKID",
  S3_SECRET_ACCESS_KEY: SECRET,
};

describe("readS3Config", () => {
  test("defaults: region auto, bucket in the path, no token", () => {
    expect(readS3Config(set)).toEqual({
      endpoint: new URL("https://s3.example.com/"),
      bucket: "blocks",
      region: "auto",
      accessKeyId: "AKID",
      secretAccessKey: SECRET,
      sessionToken: undefined,
      addressing: "path",
    });
    expect(readS3Config({ ...set, S3_REGION: "", S3_SESSION_TOKEN: "", S3_ADDRESSING: "" })).toEqual(
      readS3Config(set),
    );
  });

  test("all variables", () => {
    const more = { S3_REGION: "eu-west-1", S3_SESSION_TOKEN: "token==", S3_ADDRESSING: "virtual-host" };
    expect(readS3Config({ ...set, ...more, S3_ENDPOINT: "http://minio.local:9000/" })).toMatchObject({
      endpoint: new URL("http://minio.local:9000"),
      region: "eu-west-1",
      sessionToken: "token==",
      addressing: "virtual-host",
    });
  });

  test("nothing set is no S3", () => {
    expect(readS3Config({})).toBeUndefined();
    expect(readS3Config({ S3_ENDPOINT: "" })).toBeUndefined();
  });

  test.each<[string, S3Variables, RegExp]>([
    ["half set", { S3_BUCKET: "blocks" }, /S3_BUCKET is set, but S3_ENDPOINT is not/],
    ["no bucket", { ...set, S3_BUCKET: "" }, /S3_BUCKET must be set/],
    ["no key", { ...set, S3_ACCESS_KEY_ID: "" }, /S3_ACCESS_KEY_ID must be set/],
    ["no secret", { ...set, S3_SECRET_ACCESS_KEY: "" }, /S3_SECRET_ACCESS_KEY must be set/],
    ["no address", { ...set, S3_ENDPOINT: "s3.example.com" }, /S3_ENDPOINT must be "https:/],
    ["other scheme", { ...set, S3_ENDPOINT: "ftp://s3.example.com" }, /S3_ENDPOINT/],
    ["bucket in the address", { ...set, S3_ENDPOINT: "https://s3.example.com/blocks" }, /S3_ENDPOINT/],
    ["key in the address", { ...set, S3_ENDPOINT: `https://a:b@s3.example.com` }, /S3_ENDPOINT/],
    ["bucket with a path", { ...set, S3_BUCKET: "blocks/a" }, /S3_BUCKET .* not "blocks\/a"/],
    ["region with a blank", { ...set, S3_REGION: "eu west" }, /S3_REGION/],
    ["addressing", { ...set, S3_ADDRESSING: "host" }, /S3_ADDRESSING .* not "host"/],
    [
      "pasted line break",
      { ...set, S3_SECRET_ACCESS_KEY: `${SECRET}\n` },
      /S3_SECRET_ACCESS_KEY must be printable/,
    ],
    ["header injection", { ...set, S3_SESSION_TOKEN: "a\r\nx: y" }, /S3_SESSION_TOKEN must be printable/],
  ])("%s is an internal error that names the variable", (_, variables, message) => {
    expect(() => readS3Config(variables)).toThrow(
      expect.objectContaining({
        name: "AppError",
        kind: "internal",
        message: expect.stringMatching(message),
      }),
    );
    expect(() => readS3Config(variables)).not.toThrow(/s3cr3t|a:b@|x: y/);
  });
});

describe("objectStoreFor", () => {
  const BLOCKS = {} as R2Bucket;

  test("S3 if S3_ENDPOINT is set, else the bucket that is bound", () => {
    expect(objectStoreFor({ ...set, BLOCKS })).toBeInstanceOf(S3Store);
    expect(objectStoreFor(set)).toBeInstanceOf(S3Store);
    expect(objectStoreFor({ BLOCKS })).toBeInstanceOf(R2Store);
  });

  test("neither, or a wrong variable, is an error that says so", () => {
    expect(() => objectStoreFor({})).toThrow("bind an R2 bucket as BLOCKS or set S3_ENDPOINT");
    expect(() => objectStoreFor({ ...set, S3_BUCKET: "", BLOCKS })).toThrow("S3_BUCKET");
  });
});
