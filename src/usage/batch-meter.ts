// What ingest tells of a batch, whatever becomes of it.
import type { ServiceShare } from "../otlp/services.ts";
import { bodyCpuUs } from "./cpu-model.ts";
import type { UsageLedger } from "./ledger.ts";

export interface BodySize {
  readonly sentBytes: number;
  readonly inflatedBytes: number;
  /** Whether it is made OTLP protobuf from something else. */
  readonly isConverted: boolean;
}

export interface BatchMeter {
  readonly body: (size: BodySize) => void;
  /** Whose spans they are; -1 takes back what was not stored. */
  readonly services: (shares: readonly ServiceShare[], sign: 1 | -1) => void;
  /** @param reason of RejectedSpans, or the kind of the error */
  readonly refused: (spans: number, reason: string) => void;
}

/** Counts in the ledger of the isolate. */
export function batchMeter(ledger: UsageLedger, tenant: string): BatchMeter {
  return {
    body: ({ sentBytes, inflatedBytes, isConverted }) => {
      const meter = ledger.meter(tenant);
      meter.add("bytesIn", sentBytes);
      meter.add("workerCpuUs", bodyCpuUs(inflatedBytes, isConverted));
    },
    services: (shares, sign) => {
      const meter = ledger.meter(tenant);
      for (const { name, spans, bytes } of shares) {
        meter.add("serviceSpans", sign * spans, name);
        meter.add("serviceBytes", sign * bytes, name);
      }
    },
    refused: (spans, reason) => ledger.meter(tenant).add("refusedSpans", spans, reason),
  };
}
