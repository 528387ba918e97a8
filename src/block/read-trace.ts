// Reads the spans of one trace from a range of otlp_span pages.

/**
 * Decodes the pages as they arrive and yields, for each page that holds spans of the trace, one OTLP `TracesData`:
 * spans byte for byte as they were sent, in row order, grouped by resource and scope. One page is in memory at a time.
 *
 * @param pages the bytes of the range that `tracePages` gave, in chunks of any size
 * @param resources `WrittenBlock.resources` of the same block
 * @param traceId 16 bytes
 * @throws AppError `corrupt` on a wrong checksum, a truncated page or lengths that do not add up
 */
export async function* readTracePages(
  pages: AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>,
  resources: Uint8Array,
  traceId: Uint8Array,
): AsyncGenerator<Uint8Array> {
  void [pages, resources, traceId];
  yield new Uint8Array();
  throw new Error("not implemented yet");
}
