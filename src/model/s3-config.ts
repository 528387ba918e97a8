// Variables of an S3-compatible object store, checked once. Nothing else reads them, nothing repeats a secret.
import { AppError } from "../util/errors.ts";

/** What the operator may set, as text or not at all. The key and the token belong into secrets. */
export interface S3Variables {
  /** The server's address, without the bucket. Setting it takes the place of the R2 binding. */
  readonly S3_ENDPOINT?: string;
  readonly S3_BUCKET?: string;
  /** Default `auto`, which R2, GCS and most others but Amazon take. */
  readonly S3_REGION?: string;
  readonly S3_ACCESS_KEY_ID?: string;
  readonly S3_SECRET_ACCESS_KEY?: string;
  readonly S3_SESSION_TOKEN?: string;
  /** Where the bucket's name goes: `path` (default) or `virtual-host`. */
  readonly S3_ADDRESSING?: string;
}

export type S3Addressing = "path" | "virtual-host";

export interface S3Config {
  /** Scheme, host and port: no path, no user, no query. */
  readonly endpoint: URL;
  readonly bucket: string;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string | undefined;
  readonly addressing: S3Addressing;
}

/** All of them, for those who pass them on. */
export const S3_VARIABLES: readonly (keyof S3Variables)[] = [
  "S3_ENDPOINT",
  "S3_BUCKET",
  "S3_REGION",
  "S3_ACCESS_KEY_ID",
  "S3_SECRET_ACCESS_KEY",
  "S3_SESSION_TOKEN",
  "S3_ADDRESSING",
];

// 3 to 63 of these is Amazon's rule; GCS allows up to 222 with dots, older buckets have `_` and capitals.
const BUCKET = /^[A-Za-z0-9][A-Za-z0-9._-]{1,220}[A-Za-z0-9]$/;
const REGION = /^[A-Za-z0-9-]{1,64}$/;
// What a header can carry without being cut or quoted. Keys pasted with a line break are the usual mistake.
const CREDENTIAL = /^[\x21-\x7e]{1,4096}$/;

function wrong(name: keyof S3Variables, rule: string): AppError {
  return new AppError("internal", `variable ${name} ${rule}`);
}

function textVar(variables: S3Variables, name: keyof S3Variables): string {
  const text = variables[name];
  if (text === undefined || text === "") throw wrong(name, "must be set when S3_ENDPOINT is");
  return text;
}

function credentialVar(variables: S3Variables, name: keyof S3Variables): string {
  const text = textVar(variables, name);
  if (!CREDENTIAL.test(text)) throw wrong(name, "must be printable ASCII without blanks or line breaks");
  return text;
}

function endpointVar(text: string): URL {
  const rule = 'must be "https://<host>" or "http://<host>", without bucket, path, user or query';
  if (!URL.canParse(text)) throw wrong("S3_ENDPOINT", rule);
  const url = new URL(text);
  const bare = url.pathname === "/" && url.search === "" && url.hash === "" && url.username === "";
  if (!/^https?:$/.test(url.protocol) || !bare || url.password !== "") throw wrong("S3_ENDPOINT", rule);
  return url;
}

function addressingVar(text: string | undefined): S3Addressing {
  if (text === undefined || text === "" || text === "path") return "path";
  if (text === "virtual-host") return text;
  throw wrong("S3_ADDRESSING", `must be "path" or "virtual-host", not "${text}"`);
}

/**
 * The S3-compatible store to use, or undefined when S3_ENDPOINT is not set.
 * @throws AppError `internal` that names the variable and its rule, never the value of a key
 */
export function readS3Config(variables: S3Variables): S3Config | undefined {
  const endpoint = variables.S3_ENDPOINT;
  if (endpoint === undefined || endpoint === "") {
    // Half a configuration would silently write the blocks to another bucket than the one meant.
    const set = S3_VARIABLES.find((name) => (variables[name] ?? "") !== "");
    if (set !== undefined) throw wrong(set, "is set, but S3_ENDPOINT is not");
    return undefined;
  }
  const bucket = textVar(variables, "S3_BUCKET");
  if (!BUCKET.test(bucket)) throw wrong("S3_BUCKET", `must be a bucket's name, not "${bucket}"`);
  const region =
    variables.S3_REGION === undefined || variables.S3_REGION === "" ? "auto" : variables.S3_REGION;
  if (!REGION.test(region)) throw wrong("S3_REGION", `must be a region's name or "auto", not "${region}"`);
  const token = variables.S3_SESSION_TOKEN ?? "";
  return {
    endpoint: endpointVar(endpoint),
    bucket,
    region,
    accessKeyId: credentialVar(variables, "S3_ACCESS_KEY_ID"),
    secretAccessKey: credentialVar(variables, "S3_SECRET_ACCESS_KEY"),
    sessionToken: token === "" ? undefined : credentialVar(variables, "S3_SESSION_TOKEN"),
    addressing: addressingVar(variables.S3_ADDRESSING),
  };
}
