// gRPC-Web's framing of one call: messages and trailers within the body.
//
//     body    = { frame }               for -text: base64, in pieces that may each be padded
//     frame   = flags:u8 length:u32 bytes
//     flags   = 0x01 compressed | 0x80 trailers ("name:value\r\n" lines)
import type { Codec } from "../util/codec.ts";

/** The google.rpc.Codes that are used here. */
export const GRPC = {
  ok: 0,
  invalidArgument: 3,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
} as const;

export interface GrpcStatus {
  readonly code: number;
  readonly message: string;
  /** google.rpc.Status with details, in protobuf. */
  readonly details?: Uint8Array;
}

/** The only message of a unary call as it was sent, or why there is none. */
export type UnaryMessage =
  | { readonly ok: true; readonly codec: Codec; readonly bytes: Uint8Array }
  | { readonly ok: false; readonly status: GrpcStatus };

const HEAD_BYTES = 5;
const COMPRESSED = 0x01;
const TRAILERS = 0x80;

const CODECS: ReadonlyMap<string, Codec> = new Map([
  ["gzip", "gzip"],
  ["deflate", "deflate"],
  ["zstd", "zstd"],
]);
/** For the header grpc-accept-encoding. */
export const ACCEPTED_ENCODINGS = ["identity", ...CODECS.keys()].join(",");

function failed(code: number, message: string): UnaryMessage {
  return { ok: false, status: { code, message } };
}

/**
 * Takes the message out of a body. The codes are those that gRPC gives its implementations: UNIMPLEMENTED for a number
 * of messages other than one and for an unknown compression, INTERNAL for broken framing.
 * @param encoding the request's grpc-encoding
 * @returns a view of `body`
 */
export function readUnaryMessage(body: Uint8Array, encoding: string | null): UnaryMessage {
  if (body.length === 0) return failed(GRPC.unimplemented, "a unary call has one message, got none");
  if (body.length < HEAD_BYTES) return failed(GRPC.internal, "message head cut short");
  const flags = body[0] ?? 0;
  const length = new DataView(body.buffer, body.byteOffset, body.byteLength).getUint32(1);
  const rest = body.length - HEAD_BYTES - length;
  if ((flags & ~COMPRESSED) !== 0) return failed(GRPC.internal, `message with flags 0x${flags.toString(16)}`);
  if (rest < 0) {
    return failed(GRPC.internal, `message of ${length} bytes cut short after ${body.length - HEAD_BYTES}`);
  }
  if (rest > 0 && !isTrailers(body, HEAD_BYTES + length)) {
    return failed(GRPC.unimplemented, "a unary call has one message, got more");
  }
  const bytes = body.subarray(HEAD_BYTES, HEAD_BYTES + length);
  if ((flags & COMPRESSED) === 0) return { ok: true, codec: "raw", bytes };
  const name = (encoding ?? "").trim().toLowerCase();
  if (name === "" || name === "identity") {
    return failed(GRPC.internal, "message is flagged as compressed, but no grpc-encoding says how");
  }
  const codec = CODECS.get(name);
  return codec === undefined
    ? failed(GRPC.unimplemented, `unsupported grpc-encoding, supported: ${ACCEPTED_ENCODINGS}`)
    : { ok: true, codec, bytes };
}

/** Whether exactly a frame of trailers, which some clients send too, lies at `at`. */
function isTrailers(body: Uint8Array, at: number): boolean {
  if (body.length - at < HEAD_BYTES || (body[at] ?? 0) !== TRAILERS) return false;
  const length = new DataView(body.buffer, body.byteOffset, body.byteLength).getUint32(at + 1);
  return length === body.length - at - HEAD_BYTES;
}

/** The body of an answer: the message, when there is one, and the trailers. Without one it is trailers only. */
export function encodeAnswer(message: Uint8Array | undefined, status: GrpcStatus): Uint8Array {
  const trailers = new TextEncoder().encode(trailerText(status));
  const messageBytes = message === undefined ? 0 : HEAD_BYTES + message.length;
  const body = new Uint8Array(messageBytes + HEAD_BYTES + trailers.length);
  const view = new DataView(body.buffer);
  if (message !== undefined) {
    view.setUint32(1, message.length);
    body.set(message, HEAD_BYTES);
  }
  body[messageBytes] = TRAILERS;
  view.setUint32(messageBytes + 1, trailers.length);
  body.set(trailers, messageBytes + HEAD_BYTES);
  return body;
}

function trailerText({ code, message, details }: GrpcStatus): string {
  const lines = [`grpc-status:${code}`];
  if (message !== "") lines.push(`grpc-message:${percentEncoded(message)}`);
  if (details !== undefined)
    lines.push(`grpc-status-details-bin:${encodeBase64(details).replaceAll("=", "")}`);
  return lines.map((line) => `${line}\r\n`).join("");
}

/** What grpc-message holds: printable ASCII but `%` as it is, other bytes of the UTF-8 as `%XX`. */
export function percentEncoded(text: string): string {
  let out = "";
  for (const byte of new TextEncoder().encode(text)) {
    if (byte >= 0x20 && byte < 0x7f && byte !== 0x25) out += String.fromCharCode(byte);
    else out += `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return out;
}

/** `bytes` in base64 with padding. */
export function encodeBase64(bytes: Uint8Array): string {
  let text = "";
  // Arguments of a call are bounded.
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}

const PAD = 0x3d;
const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/** Digits by character; padding counts as a zero, whose place is checked apart. */
const DIGITS = new Int8Array(256).fill(-1);
for (let i = 0; i < BASE64.length; i++) DIGITS[BASE64.charCodeAt(i)] = i;
DIGITS[PAD] = 0;

/**
 * Decodes base64 that was written in pieces: padding may end any group of four.
 * Returns undefined when a character is no digit, a group is cut short, or padding stands where none can.
 */
export function decodeBase64Pieces(text: Uint8Array): Uint8Array | undefined {
  if (text.length % 4 !== 0) return undefined;
  const out = new Uint8Array((text.length / 4) * 3);
  let length = 0;
  for (let i = 0; i < text.length; i += 4) {
    let group = 0;
    for (let j = i; j < i + 4; j++) {
      const digit = DIGITS[text[j] ?? 0] ?? -1;
      if (digit < 0) return undefined;
      group = (group << 6) | digit;
    }
    out[length] = group >> 16;
    out[length + 1] = group >> 8;
    out[length + 2] = group;
    const padding = paddingAt(text, i);
    if (padding < 0) return undefined;
    length += 3 - padding;
  }
  return out.subarray(0, length);
}

/** Padding of the group at `at`, or -1 when it stands where none can. */
function paddingAt(text: Uint8Array, at: number): number {
  if (text[at] === PAD || text[at + 1] === PAD) return -1;
  if (text[at + 3] !== PAD) return text[at + 2] === PAD ? -1 : 0;
  return text[at + 2] === PAD ? 2 : 1;
}
