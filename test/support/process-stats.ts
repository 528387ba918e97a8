// Memory and CPU of a process as the Linux kernel counts them.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

function statusBytes(pid: number, field: string): number {
  const line = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  if (line === null) throw new Error(`no ${field} of process ${pid}`);
  return 1024 * Number(line[1]);
}

/** Bytes of memory that the process holds now. */
export function residentBytes(pid: number): number {
  return statusBytes(pid, "VmRSS");
}

/** The most that it held since `resetPeak`. */
export function peakBytes(pid: number): number {
  return statusBytes(pid, "VmHWM");
}

/** Makes the peak what it holds now. */
export function resetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, "5");
}

/** Nanoseconds of CPU that the process's threads took so far, user and system. */
export function cpuNs(pid: number): number {
  let total = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    // Its first number is exact; the ones in `stat` are steps of 10 ms.
    total += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "utf8").split(" ")[0]);
  }
  return total;
}
