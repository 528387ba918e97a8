// Regular expressions that match whole texts in time linear to the text: RE2's syntax, run as an automaton whose states
// are sets of positions in the pattern, made when they are first reached.
import { AppError } from "../util/errors.ts";
import type { CharSet } from "./char-set.ts";
import { type Assertion, parseRegex, RegexFault, type RegexNode } from "./regex-syntax.ts";

/** Instructions of a program, and nodes visited to make it: `{n,m}` repeats them. */
const PROGRAM_MAX = 10_000;
/** States kept, and positions in them: about 3 MB. Beyond that the automaton starts anew. */
const STATES_MAX = 1_000;
const STATE_POSITIONS_MAX = 300_000;
/** After that many times, states are not kept any more: making them takes ten times as long as doing without. */
const RESETS_MAX = 4;
/**
 * Instructions one matcher may visit, about a second's worth. Patterns that people write reach some thousands; those
 * made to reach 2^n states are stopped here.
 */
const STEPS_MAX = 100_000_000;
/** Instructions and characters of the patterns whose programs are kept: about 5 MB. */
const PROGRAMS_WEIGHT_MAX = 50_000;
/** Characters beyond ASCII for which a state remembers where they lead. */
const OTHERS_MAX = 1_000;

type Instruction =
  | { readonly op: "char"; readonly codePoint: number; next: number }
  | { readonly op: "set"; readonly set: CharSet; next: number }
  | { readonly op: "assertion"; readonly assertion: Assertion; next: number }
  | { readonly op: "split"; next: number; other: number }
  | { readonly op: "match" };

interface Program {
  /** When the pattern is nothing but these texts. */
  readonly texts: ReadonlySet<string> | undefined;
  readonly instructions: readonly Instruction[];
  readonly start: number;
  readonly hasAssertions: boolean;
}

/** Builds a program from its end: each node is given where to go on. */
class Compiler {
  readonly instructions: Instruction[] = [{ op: "match" }];
  hasAssertions = false;
  private visited = 0;

  compile(node: RegexNode, next: number): number {
    if (++this.visited > PROGRAM_MAX) throw new RegexFault("expression too large");
    switch (node.kind) {
      case "empty":
        return next;
      case "char":
        return this.emit({ op: "char", codePoint: node.codePoint, next });
      case "set":
        return this.emit({ op: "set", set: node.set, next });
      case "assertion":
        this.hasAssertions = true;
        return this.emit({ op: "assertion", assertion: node.assertion, next });
      case "concat":
        return node.parts.reduceRight((after, part) => this.compile(part, after), next);
      case "alternate":
        return node.branches
          .map((branch) => this.compile(branch, next))
          .reduceRight((other, first) => this.emit({ op: "split", next: first, other }));
      case "repeat":
        return this.repeat(node.node, node.min, node.max, next);
    }
  }

  private repeat(node: RegexNode, min: number, max: number, next: number): number {
    let entry = next;
    if (max === Infinity) {
      const loop: Instruction = { op: "split", next, other: next };
      entry = this.emit(loop);
      loop.next = this.compile(node, entry);
    } else {
      // x{0,3} is (x(x(x)?)?)?
      for (let i = min; i < max; i++) {
        entry = this.emit({ op: "split", next: this.compile(node, entry), other: next });
      }
    }
    for (let i = 0; i < min; i++) entry = this.compile(node, entry);
    return entry;
  }

  private emit(instruction: Instruction): number {
    if (this.instructions.length >= PROGRAM_MAX) throw new RegexFault("expression too large");
    return this.instructions.push(instruction) - 1;
  }
}

/** The text that the node stands for when it stands for one only. */
function literalText(node: RegexNode): string | undefined {
  switch (node.kind) {
    case "empty":
      return "";
    case "char":
      return String.fromCodePoint(node.codePoint);
    case "concat": {
      const points: number[] = [];
      for (const part of node.parts) {
        if (part.kind !== "char") return undefined;
        points.push(part.codePoint);
      }
      return points.map((point) => String.fromCodePoint(point)).join("");
    }
    case "set":
    case "assertion":
    case "alternate":
    case "repeat":
      return undefined;
  }
}

/** The texts of a pattern such as `a|b|c`, which may have as many as a query holds. */
function literalTexts(node: RegexNode): ReadonlySet<string> | undefined {
  const texts = new Set<string>();
  for (const branch of node.kind === "alternate" ? node.branches : [node]) {
    const text = literalText(branch);
    if (text === undefined) return undefined;
    texts.add(text);
  }
  return texts;
}

const programs = new Map<string, Program | RegexFault>();
let programsWeight = 0;

function makeProgram(pattern: string): Program | RegexFault {
  try {
    const node = parseRegex(pattern);
    const texts = literalTexts(node);
    if (texts !== undefined) return { texts, instructions: [], start: 0, hasAssertions: false };
    const compiler = new Compiler();
    const start = compiler.compile(node, 0);
    return { texts, instructions: compiler.instructions, start, hasAssertions: compiler.hasAssertions };
  } catch (error) {
    if (error instanceof RegexFault) return error;
    throw error;
  }
}

function programOf(pattern: string): Program | RegexFault {
  const known = programs.get(pattern);
  if (known !== undefined) return known;
  const program = makeProgram(pattern);
  const weight = pattern.length + (program instanceof RegexFault ? 0 : program.instructions.length);
  if (programsWeight + weight > PROGRAMS_WEIGHT_MAX) {
    programs.clear();
    programsWeight = 0;
  }
  programsWeight += weight;
  programs.set(pattern, program);
  return program;
}

/** What is wrong with the pattern, or undefined when nothing is. */
export function regexProblem(pattern: string): string | undefined {
  const program = programOf(pattern);
  return program instanceof RegexFault ? program.message : undefined;
}

/**
 * A matcher for whole texts, as `^(?:pattern)$` in RE2. One for each query: it counts its steps.
 * @throws AppError `invalid_argument` when the pattern is no regular expression, or too large a one
 */
export function compileRegex(pattern: string): Regex {
  const program = programOf(pattern);
  if (program instanceof RegexFault) {
    throw new AppError("invalid_argument", `invalid regex: ${program.message}`);
  }
  return new Regex(program, pattern);
}

/** What stands on one side of a place in the text. */
const EDGE = 0;
const NEWLINE = 1;
const WORD = 2;
const OTHER = 3;

function sideOf(codePoint: number): number {
  if (codePoint === 0x0a) return NEWLINE;
  if (codePoint === 0x5f) return WORD;
  const isDigit = codePoint >= 0x30 && codePoint <= 0x39;
  const lower = codePoint | 0x20;
  return isDigit || (codePoint < 128 && lower >= 0x61 && lower <= 0x7a) ? WORD : OTHER;
}

function holds(assertion: Assertion, before: number, after: number): boolean {
  switch (assertion) {
    case "text-start":
      return before === EDGE;
    case "text-end":
      return after === EDGE;
    case "line-start":
      return before === EDGE || before === NEWLINE;
    case "line-end":
      return after === EDGE || after === NEWLINE;
    case "word-boundary":
      return (before === WORD) !== (after === WORD);
    case "no-word-boundary":
      return (before === WORD) === (after === WORD);
  }
}

/** A set of positions, all that the text read so far may have led to. */
interface State {
  /** Instructions that wait: for a character, for what stands on both sides, or for the end. */
  readonly positions: readonly number[];
  /** What was read last; always OTHER in programs without assertions, so that it splits no states. */
  readonly before: number;
  /** By ASCII character. */
  readonly ascii: (State | undefined)[];
  readonly others: Map<number, State>;
  accepts: boolean | undefined;
}

const ASCII = 128;

function makeState(positions: readonly number[], before: number): State {
  return {
    positions,
    before,
    ascii: Array.from({ length: ASCII }),
    others: new Map(),
    accepts: undefined,
  };
}

/** Nothing can match any more. */
const DEAD = makeState([], OTHER);

export class Regex {
  /** Instructions visited so far: what the matcher has cost beyond one look-up for each character. */
  steps = 0;

  private readonly pattern: string;
  private readonly program: Program;
  private readonly states = new Map<string, State>();
  private positionsKept = 0;
  private resets = 0;
  private start: State | undefined;
  /** Marks of the closure under way: an instruction is in it when its mark is `generation`. */
  private readonly marks: Uint32Array;
  private generation = 0;

  constructor(program: Program, pattern: string) {
    this.program = program;
    this.pattern = pattern;
    this.marks = new Uint32Array(program.instructions.length);
  }

  /**
   * Whether the pattern matches the whole text.
   * @throws AppError `invalid_argument` once the pattern has cost more steps than STEPS_MAX
   */
  matches(text: string): boolean {
    const { texts } = this.program;
    if (texts !== undefined) return texts.has(text);
    let state = this.startState();
    for (let i = 0; i < text.length; i++) {
      const codePoint = text.codePointAt(i) ?? 0;
      if (codePoint > 0xffff) i++;
      let next = codePoint < ASCII ? state.ascii[codePoint] : state.others.get(codePoint);
      if (next === undefined) {
        if (this.resets > RESETS_MAX) return this.simulate(text);
        next = this.step(state, codePoint);
      }
      state = next;
      if (state === DEAD) return false;
    }
    return (state.accepts ??= this.acceptsAtEnd(state));
  }

  /** Without states kept, for patterns that have too many: the same sets of positions, made anew for each character. */
  private simulate(text: string): boolean {
    let { positions, before } = this.startState();
    for (const char of text) {
      const codePoint = char.codePointAt(0) ?? 0;
      positions = this.advance(positions, before, codePoint);
      before = this.sideOf(codePoint);
      if (positions.length === 0) return false;
    }
    return this.acceptsAtEnd({ positions, before });
  }

  private startState(): State {
    if (this.start === undefined) {
      this.generation++;
      const before = this.program.hasAssertions ? EDGE : OTHER;
      this.start = this.stateOf(this.closure([this.program.start]), before);
    }
    return this.start;
  }

  private sideOf(codePoint: number): number {
    return this.program.hasAssertions ? sideOf(codePoint) : OTHER;
  }

  /** The state after one more character, which `state` remembers. */
  private step(state: State, codePoint: number): State {
    const positions = this.advance(state.positions, state.before, codePoint);
    const next = positions.length === 0 ? DEAD : this.stateOf(positions, this.sideOf(codePoint));
    if (codePoint < ASCII) {
      state.ascii[codePoint] = next;
    } else {
      if (state.others.size >= OTHERS_MAX) state.others.clear();
      state.others.set(codePoint, next);
    }
    return next;
  }

  /** The positions after one more character, in no order. */
  private advance(from: readonly number[], before: number, codePoint: number): number[] {
    const { instructions, hasAssertions } = this.program;
    const positions = hasAssertions ? this.resolve(from, before, sideOf(codePoint)) : from;
    const reached: number[] = [];
    for (const position of positions) {
      const instruction = instructions[position];
      if (instruction?.op === "char") {
        if (instruction.codePoint === codePoint) reached.push(instruction.next);
      } else if (instruction?.op === "set" && instruction.set.has(codePoint)) {
        reached.push(instruction.next);
      }
    }
    this.spend(positions.length + 1);
    this.generation++;
    return this.closure(reached);
  }

  private acceptsAtEnd({ positions, before }: Pick<State, "positions" | "before">): boolean {
    const { instructions, hasAssertions } = this.program;
    const resolved = hasAssertions ? this.resolve(positions, before, EDGE) : positions;
    return resolved.some((position) => instructions[position]?.op === "match");
  }

  /** The positions and those behind the assertions that hold here. */
  private resolve(positions: readonly number[], before: number, after: number): readonly number[] {
    const { instructions } = this.program;
    this.generation++;
    const resolved = [...positions];
    for (const position of resolved) this.marks[position] = this.generation;
    // Assertions that are reached through others are appended, and looked at in turn.
    for (let i = 0; i < resolved.length; i++) {
      const instruction = instructions[resolved[i] ?? 0];
      if (instruction?.op === "assertion" && holds(instruction.assertion, before, after)) {
        for (const position of this.closure([instruction.next])) resolved.push(position);
      }
    }
    return resolved;
  }

  /** What is reached from the given instructions without a character, apart from what was marked before. */
  private closure(from: readonly number[]): number[] {
    const { instructions } = this.program;
    const waiting: number[] = [];
    const stack = [...from];
    let visited = 0;
    for (let index = stack.pop(); index !== undefined; index = stack.pop()) {
      visited++;
      if (this.marks[index] === this.generation) continue;
      this.marks[index] = this.generation;
      const instruction = instructions[index];
      if (instruction?.op === "split") stack.push(instruction.other, instruction.next);
      else waiting.push(index);
    }
    this.spend(visited);
    return waiting;
  }

  private stateOf(positions: number[], before: number): State {
    positions.sort((a, b) => a - b);
    const key = `${before}:${positions.join(",")}`;
    const known = this.states.get(key);
    if (known !== undefined) return known;
    this.positionsKept += positions.length;
    if (this.states.size >= STATES_MAX || this.positionsKept > STATE_POSITIONS_MAX) {
      this.states.clear();
      this.resets++;
      this.start = undefined;
      this.positionsKept = positions.length;
    }
    const state = makeState(positions, before);
    this.states.set(key, state);
    return state;
  }

  private spend(steps: number): void {
    this.steps += steps;
    if (this.steps > STEPS_MAX) {
      throw new AppError(
        "invalid_argument",
        `regex ${JSON.stringify(this.pattern.slice(0, 64))} takes too many steps`,
      );
    }
  }
}
