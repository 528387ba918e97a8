// Finds the spans of protobuf batches and answers without decoding them: a trace of 200,000 is 95 MB.

export interface FoundSpan {
  readonly traceId: string;
  readonly spanId: string;
}

/** Calls `field` for each field of the message in [at, end): its number, and its content when length-delimited. */
function eachField(
  bytes: Uint8Array,
  range: { at: number; end: number },
  field: (number: number, at: number, end: number) => void,
): void {
  let { at } = range;
  const varint = (): number => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error("the message is cut short");
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < range.end) {
    const tag = varint();
    switch (tag & 7) {
      case 0:
        varint();
        break;
      case 1:
        at += 8;
        break;
      case 2: {
        const length = varint();
        field(Math.floor(tag / 8), at, at + length);
        at += length;
        break;
      }
      case 5:
        at += 4;
        break;
      default:
        throw new Error(`wire type ${tag & 7} at byte ${at}`);
    }
  }
  if (at !== range.end) throw new Error("a field goes beyond its message");
}

function hexOf(bytes: Uint8Array, at: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + at, end - at).toString("hex");
}

/** Ids of all spans of a TracesData, in its order. */
export function findSpans(bytes: Uint8Array): FoundSpan[] {
  const found: FoundSpan[] = [];
  eachField(bytes, { at: 0, end: bytes.length }, (resourceField, resourceAt, resourceEnd) => {
    if (resourceField !== 1) return;
    eachField(bytes, { at: resourceAt, end: resourceEnd }, (scopeField, scopeAt, scopeEnd) => {
      if (scopeField !== 2) return;
      eachField(bytes, { at: scopeAt, end: scopeEnd }, (spanField, spanAt, spanEnd) => {
        if (spanField !== 2) return;
        let traceId = "";
        let spanId = "";
        eachField(bytes, { at: spanAt, end: spanEnd }, (field, at, end) => {
          if (field === 1) traceId = hexOf(bytes, at, end);
          if (field === 2) spanId = hexOf(bytes, at, end);
        });
        found.push({ traceId, spanId });
      });
    });
  });
  return found;
}
