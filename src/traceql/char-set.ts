// Sets of code points, as classes of a regular expression name them.

/** Inclusive bounds, one after the other: low, high, low, high … */
export type Ranges = readonly number[];

export const MAX_CODE_POINT = 0x10ffff;

export const DIGITS: Ranges = [0x30, 0x39];
/** As in RE2: no vertical tab. */
export const SPACES: Ranges = [0x09, 0x0a, 0x0c, 0x0d, 0x20, 0x20];
export const WORDS: Ranges = [0x30, 0x39, 0x41, 0x5a, 0x5f, 0x5f, 0x61, 0x7a];

/** The classes that `[[:name:]]` names. */
export const POSIX_CLASSES: ReadonlyMap<string, Ranges> = new Map<string, Ranges>([
  ["alnum", [0x30, 0x39, 0x41, 0x5a, 0x61, 0x7a]],
  ["alpha", [0x41, 0x5a, 0x61, 0x7a]],
  ["ascii", [0x00, 0x7f]],
  ["blank", [0x09, 0x09, 0x20, 0x20]],
  ["cntrl", [0x00, 0x1f, 0x7f, 0x7f]],
  ["digit", DIGITS],
  ["graph", [0x21, 0x7e]],
  ["lower", [0x61, 0x7a]],
  ["print", [0x20, 0x7e]],
  ["punct", [0x21, 0x2f, 0x3a, 0x40, 0x5b, 0x60, 0x7b, 0x7e]],
  ["space", [0x09, 0x0d, 0x20, 0x20]],
  ["upper", [0x41, 0x5a]],
  ["word", WORDS],
  ["xdigit", [0x30, 0x39, 0x41, 0x46, 0x61, 0x66]],
]);

const CATEGORIES = /^(Any|C[cfos]?|L[lmotu]?|M[cen]?|N[dlo]?|P[cdefios]?|S[ckmo]?|Z[lps]?)$/;

/**
 * What stands between the brackets of a native class for the Unicode category or script `name`, or undefined when there
 * is no such thing.
 */
function unicodeClass(name: string): string | undefined {
  // RE2's C leaves out the code points that are not assigned.
  if (name === "C") return String.raw`\p{Cc}\p{Cf}\p{Co}\p{Cs}`;
  if (CATEGORIES.test(name)) return String.raw`\p{${name}}`;
  if (!/^[A-Za-z_]+$/.test(name)) return undefined;
  const source = String.raw`\p{Script=${name}}`;
  try {
    return new RegExp(source, "u").source;
  } catch {
    return undefined;
  }
}

/** One member of a class that has its own complement, such as `\PL` or `[:^alpha:]`. */
interface Part {
  readonly negated: boolean;
  /** Matches a single code point. */
  readonly test: RegExp;
}

function toRanges(ranges: Ranges): string {
  let text = "";
  for (let i = 0; i < ranges.length; i += 2) {
    text += String.raw`\u{${(ranges[i] ?? 0).toString(16)}}-\u{${(ranges[i + 1] ?? 0).toString(16)}}`;
  }
  return text;
}

/** Collects what a class names. */
export class CharSetBuilder {
  private readonly ranges: number[] = [];
  private readonly parts: Part[] = [];
  private readonly fold: boolean;

  /** @param fold whether case makes no difference */
  constructor(fold: boolean) {
    this.fold = fold;
  }

  addRange(low: number, high: number): void {
    this.ranges.push(low, high);
  }

  addRanges(ranges: Ranges, negated: boolean): void {
    if (!negated) {
      for (const bound of ranges) this.ranges.push(bound);
    } else {
      this.addPart(toRanges(ranges), true);
    }
  }

  /** Returns false when there is no category or script of this name. */
  addUnicode(name: string, negated: boolean): boolean {
    const source = unicodeClass(name);
    if (source === undefined) return false;
    this.addPart(source, negated);
    return true;
  }

  private addPart(source: string, negated: boolean): void {
    this.parts.push({ negated, test: new RegExp(`^[${source}]$`, this.fold ? "iu" : "u") });
  }

  build(negated: boolean): CharSet {
    const { ranges } = this;
    // One class of the native engine decides one code point: nothing there can backtrack.
    if (this.fold && ranges.length > 0) {
      const folded: Part = { negated: false, test: new RegExp(`^[${toRanges(ranges)}]$`, "iu") };
      return new CharSet([], [...this.parts, folded], negated);
    }
    return new CharSet(mergeRanges(ranges), this.parts, negated);
  }
}

/** Sorted and without overlaps. */
function mergeRanges(ranges: Ranges): Ranges {
  const pairs: [number, number][] = [];
  for (let i = 0; i < ranges.length; i += 2) pairs.push([ranges[i] ?? 0, ranges[i + 1] ?? 0]);
  pairs.sort((a, b) => a[0] - b[0]);
  const merged: number[] = [];
  for (const [low, high] of pairs) {
    const last = merged.at(-1);
    if (last !== undefined && low <= last + 1) merged[merged.length - 1] = Math.max(last, high);
    else merged.push(low, high);
  }
  return merged;
}

const ASCII = 128;
/** Code points beyond ASCII whose membership a set remembers. */
const REMEMBERED_MAX = 256;

export class CharSet {
  private readonly ranges: Ranges;
  private readonly parts: readonly Part[];
  private readonly negated: boolean;
  /** Made when it is first asked for. */
  private ascii: Uint8Array | undefined;
  private readonly others = new Map<number, boolean>();

  constructor(ranges: Ranges, parts: readonly Part[], negated: boolean) {
    this.ranges = ranges;
    this.parts = parts;
    this.negated = negated;
  }

  has(codePoint: number): boolean {
    if (codePoint >= ASCII)
      return this.parts.length === 0 ? this.decide(codePoint) : this.remembered(codePoint);
    this.ascii ??= Uint8Array.from({ length: ASCII }, (_, i) => (this.decide(i) ? 1 : 0));
    return this.ascii[codePoint] === 1;
  }

  /** The native engine takes a hundred times as long as a look-up. */
  private remembered(codePoint: number): boolean {
    let known = this.others.get(codePoint);
    if (known === undefined) {
      known = this.decide(codePoint);
      if (this.others.size >= REMEMBERED_MAX) this.others.clear();
      this.others.set(codePoint, known);
    }
    return known;
  }

  private decide(codePoint: number): boolean {
    return (this.inRanges(codePoint) || this.inParts(codePoint)) !== this.negated;
  }

  private inRanges(codePoint: number): boolean {
    const { ranges } = this;
    let from = 0;
    let to = ranges.length >> 1;
    while (from < to) {
      const middle = (from + to) >> 1;
      if (codePoint < (ranges[2 * middle] ?? 0)) to = middle;
      else if (codePoint > (ranges[2 * middle + 1] ?? 0)) from = middle + 1;
      else return true;
    }
    return false;
  }

  private inParts(codePoint: number): boolean {
    if (this.parts.length === 0) return false;
    const char = String.fromCodePoint(codePoint);
    return this.parts.some(({ test, negated }) => test.test(char) !== negated);
  }
}
