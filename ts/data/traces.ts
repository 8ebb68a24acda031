/**
 * Traces for the first training stage without an oracle: from a problem's own solution and the first step of the
 * worse answer that provably departs from it.
 *
 * A trace is short and regular, so that a small model can learn it:
 *
 * ```text
 * <type>Reasoning</type>
 *
 * <solution>
 * (the problem's own solution)
 * </solution>
 *
 * <eval>
 * The solution ends with 20.
 * A ends with 14, 14-20=-6: A differs. <quote_A>That makes 2 + 8 = 10.</quote_A> is wrong: the solution has 2 * 8 = 16.
 * B ends with 20, 20-20=0: B agrees. <quote_B>There are 2 * 8 = 16 wheels.</quote_B> is right.
 * </eval>
 *
 * <answer>[[B]]</answer>
 * ```
 *
 * The final values are subtracted rather than compared: a small model that can subtract sees in the result whether two
 * numbers are the same, which it learns late or never from the numbers alone.
 *
 * A chain with parts left out (`JudgeForm`) has less: without task types there is no type and no solution, but a rubric,
 * or without rubrics neither; a `genrm` writes its verdict alone.
 *
 * @module
 */
import { FULL_CHAIN, type JudgeForm } from "../cor/form.ts";
import { formatTrace, formatUntyped, formatVerdict, quote } from "../cor/format.ts";
import { scanTags } from "../cor/tags.ts";
import { type Equation, findEquations, findNumbers, writeNumber } from "./arithmetic.ts";
import type { PlacedPair, Side } from "./record.ts";

/**
 * Why a pair gets no trace.
 *
 * - `no-solution`: the record has none.
 * - `no-final-value`: the last line of the solution or of an answer states no number.
 * - `final-values-disagree`: the better answer does not end as the solution does, or the worse one does.
 * - `no-departing-step`: no step of the worse answer provably departs from the solution.
 * - `protocol-tags`: the solution or an answer holds tags of the trace's own format.
 */
export type SkipReason =
  | "no-solution"
  | "no-final-value"
  | "final-values-disagree"
  | "no-departing-step"
  | "protocol-tags";

/** All reasons for a skipped pair. */
export const SKIP_REASONS: readonly SkipReason[] = [
  "no-solution",
  "no-final-value",
  "final-values-disagree",
  "no-departing-step",
  "protocol-tags",
];

/** How a step departs: its own arithmetic is wrong, or its value is none that the solution or the better answer has. */
export type Departure = "arithmetic" | "value";

/** A trace, with how the worse answer departs where it says so, or why there is none. */
export type DataTrace =
  | { readonly trace: string; readonly departure: Departure | null }
  | { readonly skipped: SkipReason };

/**
 * Builds the trace of a pair from its data. Each quote is a whole line of the answer, character by character.
 *
 * The quoted step is the worse answer's first line that has an equation which does not hold, or whose last equation
 * comes to a value that occurs nowhere in the solution and the better answer. In the first case the trace says what
 * the expression comes to ("it should be"). In the second it names the solution's equation that shares most operands
 * with the step, among equals the first whose value the worse answer has not reached ("the solution has"). The
 * supporting quote is the better answer's first line that reaches the named value, or its last line.
 */
export function traceFromData(
  { record, a, b, gold }: PlacedPair,
  { kind, chain }: Pick<JudgeForm, "kind" | "chain"> = { kind: "reasrm", chain: FULL_CHAIN },
): DataTrace {
  if (kind === "genrm") return { trace: formatVerdict(gold), departure: null };
  const { solution, chosen, rejected } = record;
  if (solution === undefined || solution.trim() === "") return { skipped: "no-solution" };
  if ([solution, chosen, rejected].some((text) => scanTags(text).length > 0 || /<\/?think>/i.test(text))) {
    return { skipped: "protocol-tags" };
  }
  const final = finalNumber(solution);
  const ends = { A: finalNumber(a), B: finalNumber(b) };
  if (final === null || ends.A === null || ends.B === null) return { skipped: "no-final-value" };
  const worse = gold === "A" ? "B" : "A";
  if (ends[gold] !== final || ends[worse] === final) {
    return { skipped: "final-values-disagree" };
  }
  const found = firstDeparture(linesOf(solution), linesOf(chosen), linesOf(rejected), final);
  if (found === null) return { skipped: "no-departing-step" };
  // Without task types there is no solution to name.
  const correction = chain.taskTypes
    ? found.correction
    : found.correction.replace("the solution has", "right is");
  const remarks: Readonly<Record<Side, string>> = placed(
    gold,
    `${quote(gold, found.support)} is right.`,
    `${quote(worse, found.line)} is wrong: ${correction}.`,
  );
  const valued = { A: ends.A, B: ends.B };
  const trace = chain.taskTypes
    ? formatTrace({
      type: "Reasoning",
      solution,
      eval: judgedEnds(final, valued, gold, remarks),
      verdict: gold,
    })
    : formatUntyped({
      ...(chain.rubrics && { rubric: STEPS_RUBRIC }),
      eval: statedEnds(valued, remarks),
      verdict: gold,
    });
  return { trace, departure: found.departure };
}

/** The criteria of a trace whose task is not solved first. */
const STEPS_RUBRIC = {
  items: [{ text: "Each step holds", weight: 0.5 }, { text: "The final value is right", weight: 0.5 }],
  justify: "A wrong step makes a wrong value.",
};

/** The text of an `<eval>` with no solution before it: a line an answer with its final value and a remark. */
function statedEnds(ends: Readonly<Record<Side, number>>, remarks: Readonly<Record<Side, string>>): string {
  return (["A", "B"] as const).map((side) => `${side} ends with ${writeNumber(ends[side])}. ${remarks[side]}`)
    .join("\n");
}

/** What belongs to each side, given what belongs to the better and to the worse one. */
function placed<T>(gold: Side, better: T, worse: T): Record<Side, T> {
  return gold === "A" ? { A: better, B: worse } : { A: worse, B: better };
}

/**
 * The text of an `<eval>`: the solution's final value, then a line an answer with its final value, the difference of
 * the two, whether the answer agrees (which the caller says: side `agreeing` does, the other does not), and a remark.
 */
export function judgedEnds(
  solution: number,
  ends: Readonly<Record<Side, number>>,
  agreeing: Side,
  remarks: Readonly<Record<Side, string>>,
): string {
  const line = (side: Side): string =>
    `${side} ends with ${writeNumber(ends[side])}, ${writeDifference(ends[side], solution)}: ` +
    `${side} ${side === agreeing ? "agrees" : "differs"}. ${remarks[side]}`;
  return [`The solution ends with ${writeNumber(solution)}.`, line("A"), line("B")].join("\n");
}

/** A subtraction and its result, `14-20=-6`. */
export function writeDifference(left: number, right: number): string {
  const subtrahend = writeNumber(right);
  return `${writeNumber(left)}-${right < 0 ? `(${subtrahend})` : subtrahend}=${writeNumber(left - right)}`;
}

interface Line {
  readonly text: string;
  readonly equations: readonly Equation[];
}

function linesOf(text: string): Line[] {
  return text.split(/\r?\n/).map((line) => line.trim()).filter((line) => line !== "")
    .map((line) => ({ text: line, equations: findEquations(line) }));
}

/** The last number of a text's last line. */
function finalNumber(text: string): number | null {
  const last = text.trimEnd().split("\n").at(-1) ?? "";
  const written = last.match(/-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?/g)?.at(-1);
  return written === undefined ? null : Number(written.replaceAll(",", ""));
}

interface Found {
  readonly line: string;
  readonly correction: string;
  readonly support: string;
  readonly departure: Departure;
}

function firstDeparture(
  solution: readonly Line[],
  better: readonly Line[],
  worse: readonly Line[],
  final: number,
): Found | null {
  const known = [...solution, ...better].flatMap(({ text }) => findNumbers(text));
  const reached: number[] = [];
  for (const { text, equations } of worse) {
    const broken = equations.find(({ holds }) => !holds);
    if (broken !== undefined) {
      return {
        line: text,
        correction: `it should be ${broken.expression}${broken.equals}${writeNumber(broken.value)}`,
        support: supportFor(broken.value, better),
        departure: "arithmetic",
      };
    }
    reached.push(...equations.map(({ stated }) => stated));
    const last = equations.at(-1);
    if (last === undefined || isAmong(last.stated, known, text)) continue;
    const counterpart = counterpartOf(last, solution.flatMap((line) => line.equations), reached);
    return {
      line: text,
      correction: `the solution has ${counterpart?.text ?? writeNumber(final)}`,
      support: supportFor(counterpart?.stated ?? final, better),
      departure: "value",
    };
  }
  return null;
}

/** The solution's equation that a departing one stands for; null where the solution has none. */
function counterpartOf(
  departing: Equation,
  equations: readonly Equation[],
  reached: readonly number[],
): Equation | null {
  const operands = findNumbers(departing.expression);
  const rank = ({ expression, stated }: Equation): number => {
    const shared = findNumbers(expression).filter((operand) => isAmong(operand, operands, "")).length;
    return 2 * shared + (isAmong(stated, reached, "") ? 0 : 1);
  };
  return equations.reduce<Equation | null>(
    (best, equation) => best === null || rank(equation) > rank(best) ? equation : best,
    null,
  );
}

/** Two roundings of one value differ by less than this. */
const ROUNDING = 0.006;

/** Whether a value occurs among others; where the line is about percent or cents, also a hundredfold. */
function isAmong(value: number, others: readonly number[], line: string): boolean {
  const forms = /%|¢|\b(?:cents?|percent)\b/i.test(line) ? [value, value * 100, value / 100] : [value];
  return forms.some((form) => others.some((other) => Math.abs(form - other) < ROUNDING));
}

/** The better answer's first line with an equation that reaches a value, or its last line. */
function supportFor(value: number, better: readonly Line[]): string {
  const line = better.find(({ equations }) =>
    equations.some(({ stated, holds }) => holds && isAmong(value, [stated], ""))
  );
  return (line ?? better.at(-1)!).text;
}
