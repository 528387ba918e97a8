// Prometheus' text format: https://prometheus.io/docs/instrumenting/exposition_formats/
import { assert } from "../util/assert.ts";

export const EXPOSITION_TYPE = "text/plain; version=0.0.4; charset=utf-8";

export type Labels = Readonly<Record<string, string>>;

/** `untyped`: what counts, and has another name than counters should: it is Tempo's. */
export type MetricType = "counter" | "gauge" | "histogram" | "untyped";

/** How often values lay below or at each bound, and their sum. */
export interface Histogram {
  /** Ascending; each has what the ones before it have, too. */
  readonly buckets: readonly { readonly le: number; readonly count: number }[];
  readonly count: number;
  readonly sum: number;
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/;
const LABEL = /^[a-zA-Z_][a-zA-Z0-9_]*$/;

interface Family {
  readonly type: MetricType;
  readonly help: string;
  readonly lines: string[];
}

/** Collects samples by metric, in whatever order they come, and writes them metric by metric. */
export class Exposition {
  readonly #families = new Map<string, Family>();

  /** Names a metric; one without samples is left out of the text. */
  describe(name: string, type: MetricType, help: string): void {
    assert(NAME.test(name) && !this.#families.has(name), `${name} is a metric's name, and new`);
    this.#families.set(name, { type, help, lines: [] });
  }

  add(name: string, value: number, labels: Labels = {}): void {
    this.#lines(name).push(`${name}${labelsText(labels)} ${numberText(value)}`);
  }

  addHistogram(name: string, { buckets, count, sum }: Histogram, labels: Labels): void {
    const lines = this.#lines(name);
    const same = pairsOf(labels);
    const rest = same === "" ? "" : `${same},`;
    for (const bucket of [...buckets, { le: Number.POSITIVE_INFINITY, count }]) {
      lines.push(`${name}_bucket{${rest}le="${numberText(bucket.le)}"} ${numberText(bucket.count)}`);
    }
    const braced = same === "" ? "" : `{${same}}`;
    lines.push(`${name}_sum${braced} ${numberText(sum)}`);
    lines.push(`${name}_count${braced} ${numberText(count)}`);
  }

  text(): string {
    return [...this.#families]
      .filter(([, { lines }]) => lines.length > 0)
      .map(([name, { type, help, lines }]) => {
        const head = `# HELP ${name} ${escaped(help)}\n# TYPE ${name} ${type}\n`;
        return `${head}${lines.join("\n")}\n`;
      })
      .join("");
  }

  #lines(name: string): string[] {
    const family = this.#families.get(name);
    assert(family !== undefined, `${name} has been described`);
    return family.lines;
  }
}

function labelsText(labels: Labels): string {
  const pairs = pairsOf(labels);
  return pairs === "" ? "" : `{${pairs}}`;
}

function pairsOf(labels: Labels): string {
  return Object.entries(labels)
    .map(([name, value]) => {
      assert(LABEL.test(name), `${name} is a label's name`);
      return `${name}="${escaped(value).replaceAll('"', '\\"')}"`;
    })
    .join(",");
}

function escaped(text: string): string {
  if (!/[\\\n]/.test(text)) return text;
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  if (value === Number.NEGATIVE_INFINITY) return "-Inf";
  return String(value);
}
