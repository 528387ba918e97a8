// Resources and scopes of a block by index, in full: what a span's private fields refer to. See FORMAT.md, "Resources".
import { AppError } from "../util/errors.ts";
import { ByteBuffer } from "./byte-buffer.ts";
import { FieldCursor } from "./field-cursor.ts";
import { decodePart, encodePart, PART } from "./part.ts";
import { OWNER_TAG, SCHEMA_URL_TAG } from "./tags.ts";

/** Frames the table. Each entry is a head (owner-table.ts): fields of a ResourceSpans or ScopeSpans. */
export function encodeResources(resources: readonly Uint8Array[], scopes: readonly Uint8Array[]): Uint8Array {
  const out = new ByteBuffer();
  out.appendUint32(resources.length);
  out.appendUint32(scopes.length);
  for (const heads of [resources, scopes]) {
    for (const head of heads) {
      out.appendUint32(head.length);
      out.append(head, 0, head.length);
    }
  }
  return encodePart(PART.resources, out.view(), "zstd");
}

/** Spans are put behind a head: one that does not end where it should would swallow them. */
function checkHead(head: Uint8Array): void {
  const fields = new FieldCursor();
  fields.enter(head, 0, head.length);
  try {
    while (fields.next()) {
      if (fields.tag !== OWNER_TAG && fields.tag !== SCHEMA_URL_TAG)
        throw new RangeError(`tag ${fields.tag}`);
    }
  } catch (error) {
    throw new AppError("corrupt", "resources: malformed head", { cause: error });
  }
}

export class ResourceTable {
  readonly #resources: Uint8Array[] = [];
  readonly #scopes: Uint8Array[] = [];

  /** @throws AppError `corrupt` */
  constructor(part: Uint8Array) {
    const body = decodePart(PART.resources, part);
    const view = new DataView(body.buffer, body.byteOffset, body.length);
    if (body.length < 8) throw new AppError("corrupt", "resources: cut short");
    const resourceCount = view.getUint32(0, true);
    const total = resourceCount + view.getUint32(4, true);
    let at = 8;
    for (let i = 0; i < total; i++) {
      // Ends at the first length that is not there, so a lying count allocates nothing.
      if (body.length - at < 4) throw new AppError("corrupt", "resources: cut short");
      const end = at + 4 + view.getUint32(at, true);
      if (end > body.length) throw new AppError("corrupt", "resources: length exceeds the table");
      const head = body.subarray(at + 4, end);
      checkHead(head);
      (i < resourceCount ? this.#resources : this.#scopes).push(head);
      at = end;
    }
    if (at !== body.length) throw new AppError("corrupt", "resources: bytes left over");
  }

  /** Fields of a ResourceSpans without its scope_spans: a view. @throws AppError `corrupt` */
  resource(index: number): Uint8Array {
    const head = this.#resources[index];
    if (head === undefined) throw new AppError("corrupt", `no resource ${index}`);
    return head;
  }

  /** Fields of a ScopeSpans without its spans: a view. @throws AppError `corrupt` */
  scope(index: number): Uint8Array {
    const head = this.#scopes[index];
    if (head === undefined) throw new AppError("corrupt", `no scope ${index}`);
    return head;
  }
}
