// Content-Type, without its parameters.

/** The media type in lower case; "" when the header is absent. */
export function mediaTypeOf(contentType: string | null): string {
  const [mediaType = ""] = (contentType ?? "").split(";");
  return mediaType.trim().toLowerCase();
}
