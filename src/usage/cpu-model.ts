// CPU time in the Worker, estimated from what was done: in production the clock stands still during CPU work, so it cannot
// be measured there. The figures are those that fit best what `npm run bench -- cpu-model` measured on 2026-11-30.

/** Microseconds of any request: routing and headers take 60 in the bench's process, calls to objects as much in workerd. */
const REQUEST_US = 120;
/** Microseconds of an inflated byte that comes in as OTLP protobuf: inflating, checking, framing. */
const BODY_BYTE_US = 0.0023;
/** The same of a body in JSON, Zipkin's or Jaeger's format, which is converted too. */
const CONVERTED_BYTE_US = 0.0085;
/** Microseconds of a byte that a query looks at: decoding, evaluating. */
const SCANNED_BYTE_US = 0.0075;

/** Microseconds of a request by itself. */
export function requestCpuUs(): number {
  return REQUEST_US;
}

/** Microseconds for a body of so many inflated bytes. @param isConverted whether it was made protobuf from something else */
export function bodyCpuUs(inflatedBytes: number, isConverted: boolean): number {
  return inflatedBytes * (isConverted ? CONVERTED_BYTE_US : BODY_BYTE_US);
}

/**
 * Microseconds for a query that looked at so many bytes in the Worker, those of Scanners' messages among them: these cost the
 * Worker as much. What Scanners look at costs it nothing.
 */
export function scanCpuUs(inspectedBytes: number): number {
  return inspectedBytes * SCANNED_BYTE_US;
}
