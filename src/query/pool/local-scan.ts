// What the Worker itself looks into of a pooled query: live spans, and traces that it has in memory.
import type { QueryIo } from "../../scan/query-io.ts";
import type { SpanSource } from "../../traceql/storage.ts";
import type { ScanJob } from "../plan.ts";
import { WatchedSource } from "../watched-source.ts";
import { compilePooled } from "./evaluate.ts";
import type { PooledQuery } from "./questions.ts";
import type { ScanMember } from "./scan-group.ts";
import { SourceScan } from "./source-scan.ts";

/** @param io tells when the client has gone */
export function localMember(
  query: PooledQuery,
  watched: readonly WatchedSource<ScanJob>[],
  io: QueryIo,
): ScanMember {
  const scan = new SourceScan(compilePooled(query), {
    sources: watched.map(({ job, source }) => new WatchedSource(nameOf(job), source)),
    others: [],
    failed: [],
    // Those of live spans are counted once, as the spans were sent.
    inspectedBytes: () => 0,
    checkAborted: () => io.checkAborted(),
    onSource: (_, work) => {
      io.checkAborted();
      return work();
    },
  });
  return memberOf(scan, new Map(watched.map(({ job }) => [nameOf(job), job])));
}

/** Of sources that are no job's. Behind all others in order. */
export function memoryMember(query: PooledQuery, sources: readonly SpanSource[]): ScanMember {
  const scan = new SourceScan(compilePooled(query), {
    sources: [],
    others: sources,
    failed: [],
    inspectedBytes: () => 0,
    checkAborted: () => undefined,
    onSource: (_, work) => work(),
  });
  return memberOf(scan, new Map());
}

function memberOf(scan: SourceScan, jobs: ReadonlyMap<string, ScanJob>): ScanMember {
  return {
    jobs,
    isOfBlocks: false,
    begin: () => undefined,
    ask: (question) => scan.ask(question),
    close: () => scan.release(),
  };
}

/** Unlike `jobName` it tells the epochs of a shard apart. */
function nameOf(job: ScanJob): string {
  return job.kind === "live" ? `${job.shard}/${job.epoch.id}` : job.block.key;
}
