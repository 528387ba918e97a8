// Attributes as the tags API names them.

/** Scopes that have attributes, in the order of answers. */
export const TAG_SCOPES = ["resource", "span", "event", "link", "instrumentation"] as const;
export type TagScope = (typeof TAG_SCOPES)[number];

export interface TagValue {
  readonly type: "string" | "int" | "float" | "bool" | "duration" | "keyword";
  readonly value: string;
}
