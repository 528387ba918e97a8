// What the doctor says, for people.

export interface RefusedAnswer {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly reason: string;
  readonly fix: string;
  readonly userAgent?: string;
  readonly token?: string;
  readonly count: number;
  readonly last: string;
}

/** Of `/api/doctor`; without a tenant there is `unassigned` alone. */
export interface DoctorAnswer {
  readonly tenant?: string;
  readonly refused?: readonly RefusedAnswer[];
  readonly accepted?: readonly {
    readonly protocol: string;
    readonly at: string;
    readonly spans: number;
    readonly bodyBytes: number;
    readonly userAgent?: string;
  }[];
  readonly clocks?: { readonly advice: string };
  readonly batches?: { readonly spansPerRequest: number; readonly advice: string };
  readonly selfTest?: { readonly ok: boolean; readonly shards: number; readonly freshnessMs: number };
  readonly unassigned?: { readonly refused: readonly RefusedAnswer[] };
}

export function doctorLines({
  tenant,
  refused = [],
  accepted = [],
  clocks,
  batches,
  selfTest,
  unassigned,
}: DoctorAnswer): string[] {
  const without = unassigned?.refused ?? [];
  return [
    ...(tenant === undefined
      ? []
      : [`${tenant}: ${refused.length === 0 ? "nothing was refused" : "refused"}`]),
    ...refused.flatMap(refusedLines),
    ...accepted.map(
      ({ protocol, at, spans, bodyBytes, userAgent }) =>
        `last ${protocol}: ${at}, ${spans} spans, ${bodyBytes} bytes${by(userAgent)}`,
    ),
    ...(clocks === undefined ? [] : [clocks.advice]),
    ...(batches === undefined
      ? []
      : [`${Math.round(batches.spansPerRequest)} spans a request: ${batches.advice}`]),
    ...(selfTest === undefined
      ? []
      : [
          selfTest.ok
            ? `self-test: ${selfTest.shards} shards write and read within ${selfTest.freshnessMs} ms`
            : "self-test: a shard does not write or read, see --json",
        ]),
    ...(without.length === 0 ? [] : ["of no tenant that is known:", ...without.flatMap(refusedLines)]),
  ];
}

function refusedLines({
  method,
  path,
  status,
  reason,
  fix,
  userAgent,
  token,
  count,
  last,
}: RefusedAnswer): string[] {
  const times = count === 1 ? "once" : `${count} times`;
  const sent = token === undefined ? "" : `, token ${token}`;
  return [
    `  ${method} ${path}: ${status}, ${times}, last ${last}${sent}${by(userAgent)}`,
    `    ${reason}`,
    `    -> ${fix}`,
  ];
}

function by(userAgent: string | undefined): string {
  return userAgent === undefined ? "" : `, by ${userAgent}`;
}
