// Scanner objects whose work is counted for the tenant whose blocks they look into: a Scanner has no meter of its own.
import { tenantOfScanner } from "../store/keys.ts";
import type { ScannerRpc, ScanReply, ScanSessionRpc } from "../store/scanner-rpc.ts";
import type { Clock } from "../util/clock.ts";
import type { Meter } from "./meter.ts";

interface Ports {
  readonly scannerOf: (name: string) => ScannerRpc;
  readonly meterOf: (tenant: string) => Pick<Meter, "add">;
  readonly clock: Clock;
}

/**
 * A session is one request to its object, however much is asked in it; the object is active until it is cancelled. Gets come
 * with the replies: those of a session that fails after its last reply are missing.
 */
export function countedScanners({ scannerOf, meterOf, clock }: Ports): (name: string) => ScannerRpc {
  return (name) => ({
    async scan(request) {
      const meter = meterOf(tenantOfScanner(name));
      const startMs = clock.now();
      meter.add("objectRequests", 1);
      const session = await scannerOf(name).scan(request);
      return countedSession(session, meter, () => meter.add("objectMs", Math.max(0, clock.now() - startMs)));
    },
  });
}

function countedSession(
  session: ScanSessionRpc & Partial<Disposable>,
  meter: Pick<Meter, "add">,
  ended: () => void,
): ScanSessionRpc & Disposable {
  const counted = async (reply: Promise<ScanReply>): Promise<ScanReply> => {
    const { gets = 0, ...rest } = await reply;
    if (gets > 0) meter.add("r2ClassB", gets);
    return rest;
  };
  return {
    ask: (question) => counted(session.ask(question)),
    more: () => counted(session.more()),
    cancel: () => {
      ended();
      return session.cancel();
    },
    [Symbol.dispose]: () => session[Symbol.dispose]?.(),
  };
}
