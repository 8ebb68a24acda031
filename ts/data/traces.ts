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
 * The solution ends with 20, A with 14, B with 20: A differs, B agrees.
 * <quote_A>That makes 2 + 8 = 10.</quote_A> is wrong: the solution has 2 * 8 = 16.
 * <quote_B>There are 2 * 8 = 16 wheels.</quote_B> is right.
 * </eval>
 *
 * <answer>[[B]]</answer>
 * ```
 *
 * @module
 */
import { formatTrace, quote } from "../cor/format.ts";
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

/** A trace, or why there is none. */
export type DataTrace =
  | { readonly trace: string; readonly departure: Departure }
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
export function traceFromData({ record, a, b, gold }: PlacedPair): DataTrace {
  const { solution, chosen, rejected } = record;
  if (solution === undefined || solution.trim() === "") return { skipped: "no-solution" };
  if ([solution, chosen, rejected].some((text) => scanTags(text).length > 0 || /<\/?think>/i.test(text))) {
    return { skipped: "protocol-tags" };
  }
  const final = finalNumber(solution);
  const ends = { A: finalNumber(a), B: finalNumber(b) };
  if (final === null || ends.A === null || ends.B === null) return { skipped: "no-final-value" };
  const worse = gold === "A" ? "B" : "A";
  if (ends[gold]!.value !== final.value || ends[worse]!.value === final.value) {
    return { skipped: "final-values-disagree" };
  }
  const found = firstDeparture(linesOf(solution), linesOf(chosen), linesOf(rejected), final);
  if (found === null) return { skipped: "no-departing-step" };
  const remarks: { [side in Side]: string } = { A: "", B: "" };
  remarks[worse] = `${quote(worse, found.line)} is wrong: ${found.correction}.`;
  remarks[gold] = `${quote(gold, found.support)} is right.`;
  const trace = formatTrace({
    type: "Reasoning",
    solution,
    eval: [
      compareEnds({ A: ends.A.text, B: ends.B.text }, final.text, { A: gold === "A", B: gold === "B" }),
      remarks.A,
      remarks.B,
    ].join("\n"),
    verdict: gold,
  });
  return { trace, departure: found.departure };
}

/** The sentence that sets the answers' final values against the solution's. */
export function compareEnds(
  ends: Readonly<Record<Side, string>>,
  solution: string,
  agrees: Readonly<Record<Side, boolean>>,
): string {
  const verb = (side: Side): string => agrees[side] ? "agrees" : "differs";
  return `The solution ends with ${solution}, A with ${ends.A}, B with ${ends.B}: ` +
    `A ${verb("A")}, B ${verb("B")}.`;
}

interface Line {
  readonly text: string;
  readonly equations: readonly Equation[];
}

function linesOf(text: string): Line[] {
  return text.split(/\r?\n/).map((line) => line.trim()).filter((line) => line !== "")
    .map((line) => ({ text: line, equations: findEquations(line) }));
}

interface FinalNumber {
  readonly value: number;
  /** As the text writes it. */
  readonly text: string;
}

/** The last number of a text's last line. */
function finalNumber(text: string): FinalNumber | null {
  const last = text.trimEnd().split("\n").at(-1) ?? "";
  const written = last.match(/-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?/g)?.at(-1);
  return written === undefined ? null : { value: Number(written.replaceAll(",", "")), text: written };
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
  final: FinalNumber,
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
      correction: `the solution has ${counterpart?.text ?? final.text}`,
      support: supportFor(counterpart?.stated ?? final.value, better),
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
