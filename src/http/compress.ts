// Gzip of responses, when the client asks for it.

/** A body up to this size is sent as it is: it fits one packet anyway. */
const MIN_GZIP_BYTES = 1024;

/** Weight of a coding in Accept-Encoding; undefined when it is not named. A weight that is no number counts as 1. */
function weightOf(header: string, names: readonly string[]): number | undefined {
  for (const item of header.split(",")) {
    const [name = "", ...parameters] = item.split(";").map((part) => part.trim().toLowerCase());
    if (!names.includes(name)) continue;
    const q = parameters.find((parameter) => parameter.startsWith("q="));
    const weight = Number(q?.slice(2));
    return Number.isNaN(weight) ? 1 : weight;
  }
  return undefined;
}

/** Whether the Accept-Encoding header allows gzip: named or by `*`, and not with `q=0`. */
export function acceptsGzip(acceptEncoding: string | null): boolean {
  const header = acceptEncoding ?? "";
  return (weightOf(header, ["gzip", "x-gzip"]) ?? weightOf(header, ["*"]) ?? 0) > 0;
}

/** A 200 response with `body`, compressed when that is allowed and worth it. */
export function compressible(
  request: Request,
  body: Uint8Array | ReadableStream<Uint8Array>,
  headers: Readonly<Record<string, string>>,
): Response {
  const common = { ...headers, vary: "Accept-Encoding" };
  const isSmall = body instanceof Uint8Array && body.length <= MIN_GZIP_BYTES;
  if (isSmall || !acceptsGzip(request.headers.get("accept-encoding"))) {
    return new Response(body, { headers: common });
  }
  const plain = body instanceof Uint8Array ? new Blob([body]).stream() : body;
  return new Response(plain.pipeThrough(new CompressionStream("gzip")), {
    headers: { ...common, "content-encoding": "gzip" },
    // Workers would otherwise compress once more what says it is compressed.
    encodeBody: "manual",
  });
}
