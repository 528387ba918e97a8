// Reads Prometheus' text format, by its description and not by our writer.

export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", "\\": "\\", '"': '"' };

function numberOf(text: string): number {
  if (text === "+Inf") return Number.POSITIVE_INFINITY;
  if (text === "-Inf") return Number.NEGATIVE_INFINITY;
  return Number(text);
}

/** Reads `name="value"` pairs from behind the brace up to the closing one. */
function labelsOf(line: string, from: number): { labels: Record<string, string>; end: number } {
  const labels: Record<string, string> = {};
  let at = from;
  while (line[at] !== "}") {
    const equals = line.indexOf('="', at);
    const name = line.slice(at, equals).replace(/^,/, "");
    let value = "";
    for (at = equals + 2; line[at] !== '"'; at++) {
      if (at >= line.length) throw new Error(`label without an end: ${line}`);
      if (line[at] === "\\") value += ESCAPES[line[++at] ?? ""] ?? "?";
      else value += line[at] ?? "";
    }
    labels[name] = value;
    at++;
  }
  return { labels, end: at + 1 };
}

export function parseExposition(text: string): Sample[] {
  return text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const brace = line.indexOf("{");
      if (brace < 0) {
        const [name = "", value = ""] = line.split(" ");
        return { name, labels: {}, value: numberOf(value) };
      }
      const { labels, end } = labelsOf(line, brace + 1);
      return { name: line.slice(0, brace), labels, value: numberOf(line.slice(end).trim()) };
    });
}
